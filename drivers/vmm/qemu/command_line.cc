#include "drivers/vmm/qemu/command_line.h"

#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <string_view>

#include "drivers/process_driver.h"

namespace forkplane::vmm {
namespace {

constexpr std::int64_t kMeasureNanoseconds = 20'000'000;

std::string SelfFd(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

// QEMU's option parser reads "," as a separator; "," inside a value is doubled.
std::string Escape(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    escaped += c;
    if (c == ',') escaped += c;
  }
  return escaped;
}

void AddMonitor(const std::string& id, int fd, std::vector<std::string>* arguments) {
  arguments->insert(arguments->end(),
                    {"-chardev", fmt::format("socket,id={},fd={},server=on,wait=off", id, fd),
                     "-mon", fmt::format("chardev={},mode=control", id)});
}

void AddSource(const QemuCommand& command, const QemuFds& fds,
               std::vector<std::string>* arguments) {
  if (command.restore) {
    arguments->insert(arguments->end(), {"-incoming", "defer", "-S"});
    return;
  }
  std::string cmdline = fmt::format(
      "console=ttyS0 quiet reboot=t panic=-1 tsc=reliable tsc_early_khz={}", command.tsc_khz);
  if (!command.cmdline.empty()) cmdline += " " + command.cmdline;
  arguments->insert(arguments->end(), {"-kernel", SelfFd(fds.kernel)});
  if (fds.initramfs >= 0) arguments->insert(arguments->end(), {"-initrd", SelfFd(fds.initramfs)});
  arguments->insert(arguments->end(), {"-append", cmdline});
}

}  // namespace

QemuFds LayOutFds(std::size_t interfaces, bool restore, bool initramfs) {
  int next = process::kFirstPassedFd;
  QemuFds fds;
  fds.control = next++;
  fds.health = next++;
  fds.memory = next++;
  for (std::size_t i = 0; i < interfaces; ++i) fds.taps.push_back(next++);
  if (!restore) {
    fds.kernel = next++;
    if (initramfs) fds.initramfs = next++;
  }
  return fds;
}

std::vector<std::string> QemuArguments(const QemuCommand& command, const QemuFds& fds) {
  const std::uint64_t mib = command.memory_bytes / kMiB;
  std::vector<std::string> arguments = {
      "-name", Escape(command.uid), "-nodefaults", "-no-user-config", "-display", "none",
      "-no-reboot",
      // Nothing of what a compromised VMM would like to do is left: set*id, execve, scheduling.
      "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      "-accel", command.kvm ? "kvm" : "tcg,tb-size=16", "-cpu", command.kvm ? "host" : "max",
      "-smp", std::to_string(command.cpus), "-m", std::to_string(mib), "-object",
      fmt::format("memory-backend-file,id=mem,size={}M,mem-path={},share={}", mib,
                  SelfFd(fds.memory), command.restore ? "off" : "on"),
      "-M", "microvm,memory-backend=mem", "-chardev", "file,id=console,path=/vm/console,append=on",
      "-serial", "chardev:console"};
  AddMonitor("control", fds.control, &arguments);
  AddMonitor("health", fds.health, &arguments);
  for (std::size_t i = 0; i < fds.taps.size(); ++i) {
    arguments.insert(
        arguments.end(),
        {"-netdev", fmt::format("tap,id=net{},fd={},vhost=off", i, fds.taps[i]), "-device",
         fmt::format("virtio-net-device,netdev=net{},id=nic{},mac={}", i, i,
                     Escape(command.macs[i]))});
  }
  arguments.insert(arguments.end(), {"-device", "virtio-rng-device"});
  AddSource(command, fds, &arguments);
  return arguments;
}

Result<std::uint64_t> MeasureTscKhz() {
#if defined(__x86_64__)
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  };
  const std::int64_t start = now();
  const std::uint64_t ticks_start = __rdtsc();
  std::int64_t end = start;
  while (end - start < kMeasureNanoseconds) end = now();
  const std::uint64_t ticks = __rdtsc() - ticks_start;
  return ticks * 1'000'000 / static_cast<std::uint64_t>(end - start);
#else
  return Invalid("this driver runs on x86-64 only");
#endif
}

}  // namespace forkplane::vmm
