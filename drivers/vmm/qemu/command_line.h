// The command line of a machine, as a pure function, and the order of its inherited descriptors.
//
// Source and fork must agree in devices, their order, -m, -cpu and the memory backend's id, or the
// state does not load; so both come from here and differ only in the memory's sharing, the missing
// kernel (14 MiB of anonymous memory less per fork) and -incoming.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::vmm {

// What QEMU counts memory in.
inline constexpr std::uint64_t kMiB = 1U << 20U;

// Position of each descriptor among the passed ones.
struct QemuFds {
  int control = -1;  // listening monitor sockets
  int health = -1;
  int memory = -1;
  int kernel = -1;  // boot only
  int initramfs = -1;
  std::vector<int> taps;
};

struct QemuCommand {
  std::string uid;
  bool kvm = false;
  int cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::vector<std::string> macs;  // one per interface; taps in the same order
  bool restore = false;
  std::string cmdline;        // boot only, the user's
  std::uint64_t tsc_khz = 0;  // boot only
};

// Assigns inherited numbers (from process::kFirstPassedFd on) in a fixed order.
QemuFds LayOutFds(std::size_t interfaces, bool restore, bool initramfs);
std::vector<std::string> QemuArguments(const QemuCommand& command, const QemuFds& fds);

// The TSC's rate measured against CLOCK_MONOTONIC_RAW for about 20 ms. microvm has no other timer
// to calibrate by, and under load the guest's own try spins for ever; TCG's RDTSC is the host's.
Result<std::uint64_t> MeasureTscKhz();

}  // namespace forkplane::vmm
