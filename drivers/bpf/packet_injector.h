// Puts a frame into the host's network stack as if a link had received it, without a device or a
// socket of its own: an XDP program that passes everything is test-run on it (Linux 5.18).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::bpf {

// NOTE Threading: thread-safe. NOTE Namespace: that of the calling thread.
class PacketInjector {
 public:
  static Result<std::unique_ptr<PacketInjector>> Open();

  // The frame has gone all its way through the stack, or into a queue, when this returns. NotFound:
  // no such link. Invalid: this kernel cannot do it.
  Status Inject(std::uint32_t index, std::span<const std::uint8_t> frame);

 private:
  explicit PacketInjector(UniqueFd program) : program_(std::move(program)) {}

  UniqueFd program_;
};

}  // namespace forkplane::bpf
