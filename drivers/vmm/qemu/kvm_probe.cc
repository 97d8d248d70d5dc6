#include "drivers/vmm/qemu/kvm_probe.h"

#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "drivers/process/device.h"
#include "drivers/process/run_in_private_root.h"

namespace forkplane::vmm {
namespace {

constexpr char kOwner[] = "kvm-probe";
constexpr char kInnerExecutable[] = "/probe";

KvmAnswer Absent(const std::string& device) {
  return {false, "no " + device,
          "modprobe kvm_intel or kvm_amd on hardware, or a host with nested virtualisation"};
}

KvmAnswer Closed(const std::string& device, const std::string& why) {
  return {false, why,
          fmt::format("chgrp kvm {0} && chmod 0660 {0}; to last, the udev rule KERNEL==\"kvm\", "
                      "GROUP=\"kvm\", MODE=\"0660\"",
                      device)};
}

KvmAnswer DoesNotRun(const std::string& device, const std::string& said) {
  return {false, fmt::format("{} does not run a probe guest ({})", device, said),
          "a KVM that runs on the processor: modprobe kvm_intel or kvm_amd on hardware, or a host "
          "with nested virtualisation"};
}

std::string FirstLine(const std::string& text) {
  std::string line;
  std::istringstream lines(text);
  std::getline(lines, line);
  return line;
}

// The probe's binds: the executable under a name of its own, because a private root has no /proc
// of the host's.
Result<std::vector<process::Bind>> ProbeBinds(const std::string& executable) {
  std::error_code error;
  const std::string path = std::filesystem::canonical(executable, error).string();
  if (error) return FromErrno(error.value(), "find " + executable);
  ASSIGN_OR_RETURN(auto binds, process::BindsOf(path));
  for (process::Bind& bind : binds) {
    if (bind.host_path == path) bind.path = kInnerExecutable;
  }
  return binds;
}

}  // namespace

Result<KvmAnswer> ProbeKvm(process::ProcessDriver& processes, const KvmProbeOptions& options) {
  const std::string& device = options.device;
  if (::access(device.c_str(), F_OK) != 0) return Absent(device);
  const auto group = process::GroupToOpenDevice(device);
  if (!group.ok()) return Closed(device, group.error().message);
  process::PrivateCommand command;
  command.owner = kOwner;
  command.executable = kInnerExecutable;
  command.arguments = options.arguments;
  command.arguments.push_back(device);
  ASSIGN_OR_RETURN(command.binds, ProbeBinds(options.executable));
  command.devices = {device};
  command.user = options.user;
  command.group = options.group;
  ASSIGN_OR_RETURN(const process::CommandResult ran, process::RunInPrivateRoot(processes, command));
  if (ran.timed_out) return DoesNotRun(device, "no answer in time");
  const std::string said = FirstLine(ran.output);
  if (ran.exit_code == kRuns && said == kRunsText) {
    return KvmAnswer{.runs = true, .why = {}, .remedy = {}};
  }
  if (ran.exit_code != kDoesNotRun) {
    return Unavailable(
        fmt::format("the probe of {} ended with {}: {}", device, ran.exit_code, ran.output));
  }
  // An access list, a security module: the mode alone does not tell.
  if (said.starts_with(fmt::format("open {}: ", device))) {
    return Closed(device, fmt::format("{}: as a VMM's user ({}): {}",
                                      process::DescribeDevice(device), options.user, said));
  }
  return DoesNotRun(device, said);
}

}  // namespace forkplane::vmm
