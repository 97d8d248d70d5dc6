// A directory of files laid over the root of a guest image.
#pragma once

#include <cstdint>
#include <string>

#include "controller/base/result.h"
#include "drivers/guest/cpio.h"

namespace forkplane::guest {

// An initramfs is unpacked into the guest's memory.
inline constexpr std::uint64_t kOverlayBytesMax = 256ULL << 20U;

// Errors as BuildGuestImage's: NotFound, Invalid. Entries are added in the order of their names, so
// that the same directory makes the same archive.
Status AddOverlay(const std::string& directory, CpioWriter& archive);

}  // namespace forkplane::guest
