#include "drivers/vmm/qemu/bounds.h"

namespace forkplane::vmm {
namespace {

// QEMU's own. Measured with 7.2, microvm, TCG, a guest that booted: 73 MiB beside the guest's
// memory (47 anonymous, of it 16 for translated code; 25 of its binary and libraries). The console
// and the log may reach 64 MiB each and cannot be taken back where the state directory is a tmpfs.
// The rest is room: an allocator's, a device queue's, another version's.
constexpr std::uint64_t kOverheadBytes = std::uint64_t{256} << 20U;
// Page tables take 8 bytes of 4096, once for QEMU's mapping and once for KVM's (1/512 each); twice
// that, for memory that is mapped in scattered pages.
constexpr std::uint64_t kPageTableShare = 128;
// Main loop, RCU, one per CPU (16), one per migration, and worker pools of up to 64.
constexpr std::uint64_t kPidsMax = 256;

}  // namespace

process::Bounds QemuBounds(std::uint64_t memory_bytes, std::uint64_t template_hole_bytes) {
  return {.memory_bytes_max =
              memory_bytes + template_hole_bytes + memory_bytes / kPageTableShare + kOverheadBytes,
          .pids_max = kPidsMax};
}

}  // namespace forkplane::vmm
