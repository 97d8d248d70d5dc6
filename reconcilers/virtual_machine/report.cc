#include "reconcilers/virtual_machine/report.h"

#include <fmt/format.h>

#include <utility>

namespace forkplane::virtual_machine {
namespace {

using vmm::MachineState;

std::string ClassText(ledger::Number number) {
  const std::uint32_t handle = ClassHandle(number);
  return fmt::format("{:x}:{:x}", handle >> 16, handle & 0xffff);
}

std::optional<crd::Quantity> Rate(std::uint64_t bits_per_second) {
  if (bits_per_second == 0) return std::nullopt;
  return crd::Quantity::FromDecimal(static_cast<std::int64_t>(bits_per_second));
}

std::optional<crd::Quantity> Burst(std::uint64_t bytes) {
  if (bytes == 0) return std::nullopt;
  return crd::Quantity::FromBytes(static_cast<std::int64_t>(bytes));
}

std::optional<crd::ObservedShaping> ShapingOf(const runtime::InterfaceFacts& facts) {
  crd::ObservedShaping shaping;
  if (facts.download_rate_bits_per_second != 0) {
    shaping.download = crd::DownloadLimit{Rate(facts.download_rate_bits_per_second),
                                          Burst(facts.download_burst_bytes)};
  }
  if (facts.upload_rate_bits_per_second != 0) {
    shaping.upload =
        crd::UploadLimit{Rate(facts.upload_rate_bits_per_second),
                         Rate(facts.upload_ceil_bits_per_second), Burst(facts.upload_burst_bytes)};
  }
  if (!shaping.download && !shaping.upload) return std::nullopt;
  return shaping;
}

std::vector<crd::InterfaceStatus> InterfacesOf(const Context& context) {
  std::vector<crd::InterfaceStatus> interfaces;
  if (!context.lease) return interfaces;
  for (std::size_t i = 0; i < context.lease->interfaces.size(); ++i) {
    const ledger::InterfaceLease& lease = context.lease->interfaces[i];
    crd::InterfaceStatus status;
    status.name = lease.name;
    status.ip = ToString(lease.address);
    status.mac = ToString(OuterMac(lease.number));
    status.tap = TapName(lease.number);
    status.class_id = ClassText(lease.number);
    if (i < context.facts.size()) status.shaping = ShapingOf(context.facts[i]);
    interfaces.push_back(std::move(status));
  }
  return interfaces;
}

std::optional<crd::VmmStatus> VmmOf(const Report& report) {
  const Context& context = report.context;
  if (context.machine.state == MachineState::kAbsent || context.hypervisor == nullptr ||
      !context.lease) {
    return std::nullopt;
  }
  crd::VmmStatus vmm;
  vmm.version = context.hypervisor->capabilities().version;
  vmm.pid = context.machine.process ? context.machine.process->pid : 0;
  vmm.start_time = report.memory.started;
  vmm.uid = context.lease->vmm_uid;
  return vmm;
}

// The machine that exists, or else the one that the next start makes.
void FillMachine(const Context& context, crd::VirtualMachineStatus& status) {
  const Blueprint& next = context.desired.blueprint;
  const std::optional<RunRecord>& run = context.inputs.run;
  const bool runs = context.machine.state != MachineState::kAbsent && run;
  status.hypervisor = runs ? run->hypervisor : next.hypervisor;
  status.cpus = runs ? run->cpus : next.cpus;
  status.memory = crd::Quantity::FromBytes(runs ? run->memory_bytes
                                                : static_cast<std::int64_t>(next.memory_bytes));
}

bool IsEmpty(const crd::Timings& timings) { return timings == crd::Timings{}; }

}  // namespace

bool IsUp(const Context& context) {
  const MachineState state = context.machine.state;
  if (state == MachineState::kRunning) return true;
  return state == MachineState::kPaused && (context.observed.recorded || context.machine.capturing);
}

bool IsShaped(const Context& context) {
  if (!context.lease) return false;
  for (const runtime::InterfaceFacts& facts : context.facts) {
    if (!facts.shaped) return false;
  }
  return true;
}

crd::VmPhase PhaseOf(const Report& report) {
  const Context& context = report.context;
  if (context.desired.state.power == Power::kGone) return crd::VmPhase::kTerminating;
  if (IsUp(context)) return crd::VmPhase::kRunning;
  if (context.desired.state.power == Power::kStopped) return crd::VmPhase::kStopped;
  if (report.waiting == Waiting::kEnded) {
    return context.observed.exited_clean ? crd::VmPhase::kStopped : crd::VmPhase::kFailed;
  }
  if (report.memory.refused_generation == context.vm().metadata.generation) {
    return crd::VmPhase::kFailed;
  }
  return context.observed.claimed ? crd::VmPhase::kStarting : crd::VmPhase::kPending;
}

crd::VirtualMachineStatus BuildStatus(const Report& report) {
  const crd::VirtualMachine& vm = report.context.vm();
  crd::VirtualMachineStatus status;
  status.observed_generation = vm.metadata.generation;
  status.phase = PhaseOf(report);
  FillMachine(report.context, status);
  status.interfaces = InterfacesOf(report.context);
  status.vmm = VmmOf(report);
  // Timings that an earlier daemon measured stay until there are newer ones.
  status.timings = vm.status.timings;
  if (!IsEmpty(report.memory.timings)) status.timings = report.memory.timings;
  if (report.alias) {
    status.snapshot_alias = crd::SnapshotAliasStatus{report.alias->strategy, report.alias->reason};
  }
  status.conditions = ConditionsOf(report, status.phase);
  return status;
}

}  // namespace forkplane::virtual_machine
