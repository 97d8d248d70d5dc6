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

std::vector<crd::InterfaceStatus> InterfacesOf(const Scene& scene) {
  std::vector<crd::InterfaceStatus> interfaces;
  if (!scene.lease) return interfaces;
  for (std::size_t i = 0; i < scene.lease->interfaces.size(); ++i) {
    const ledger::InterfaceLease& lease = scene.lease->interfaces[i];
    crd::InterfaceStatus status;
    status.name = lease.name;
    status.ip = ToString(lease.address);
    status.mac = ToString(OuterMac(lease.number));
    status.tap = TapName(lease.number);
    status.class_id = ClassText(lease.number);
    if (i < scene.facts.size()) status.shaping = ShapingOf(scene.facts[i]);
    interfaces.push_back(std::move(status));
  }
  return interfaces;
}

std::optional<crd::VmmStatus> VmmOf(const Report& report) {
  const Scene& scene = report.scene;
  if (scene.machine.state == MachineState::kAbsent || scene.hypervisor == nullptr || !scene.lease) {
    return std::nullopt;
  }
  crd::VmmStatus vmm;
  vmm.version = scene.hypervisor->capabilities().version;
  vmm.pid = scene.machine.process ? scene.machine.process->pid : 0;
  vmm.start_time = report.memory.started;
  vmm.uid = scene.lease->vmm_uid;
  return vmm;
}

// What there is, else what the next start makes.
void FillMachine(const Scene& scene, crd::VirtualMachineStatus& status) {
  const Blueprint& next = scene.desired.blueprint;
  const std::optional<RunRecord>& run = scene.inputs.run;
  const bool runs = scene.machine.state != MachineState::kAbsent && run;
  status.hypervisor = runs ? run->hypervisor : next.hypervisor;
  status.cpus = runs ? run->cpus : next.cpus;
  status.memory = crd::Quantity::FromBytes(runs ? run->memory_bytes
                                                : static_cast<std::int64_t>(next.memory_bytes));
}

bool IsEmpty(const crd::Timings& timings) { return timings == crd::Timings{}; }

}  // namespace

bool IsUp(const Scene& scene) {
  const MachineState state = scene.machine.state;
  if (state == MachineState::kRunning) return true;
  return state == MachineState::kPaused && (scene.sight.recorded || scene.machine.capturing);
}

bool IsShaped(const Scene& scene) {
  if (!scene.lease) return false;
  for (const runtime::InterfaceFacts& facts : scene.facts) {
    if (!facts.shaped) return false;
  }
  return true;
}

crd::VmPhase PhaseOf(const Report& report) {
  const Scene& scene = report.scene;
  if (scene.desired.goal.power == Power::kGone) return crd::VmPhase::kTerminating;
  if (IsUp(scene)) return crd::VmPhase::kRunning;
  if (scene.desired.goal.power == Power::kStopped) return crd::VmPhase::kStopped;
  if (report.waiting == Waiting::kEnded) {
    return scene.sight.exited_clean ? crd::VmPhase::kStopped : crd::VmPhase::kFailed;
  }
  if (report.memory.refused_generation == scene.vm().metadata.generation) {
    return crd::VmPhase::kFailed;
  }
  return scene.sight.claimed ? crd::VmPhase::kStarting : crd::VmPhase::kPending;
}

crd::VirtualMachineStatus BuildStatus(const Report& report) {
  const crd::VirtualMachine& vm = report.scene.vm();
  crd::VirtualMachineStatus status;
  status.observed_generation = vm.metadata.generation;
  status.phase = PhaseOf(report);
  FillMachine(report.scene, status);
  status.interfaces = InterfacesOf(report.scene);
  status.vmm = VmmOf(report);
  // What an earlier daemon measured stays until something newer is known.
  status.timings = vm.status.timings;
  if (!IsEmpty(report.memory.timings)) status.timings = report.memory.timings;
  if (report.alias) {
    status.snapshot_alias = crd::SnapshotAliasStatus{report.alias->strategy, report.alias->reason};
  }
  status.conditions = ConditionsOf(report, status.phase);
  return status;
}

store::ObjectKey KeyOf(const crd::VirtualMachine& vm) {
  return {{std::string(crd::kGroup), std::string(crd::VirtualMachine::kPlural)},
          vm.metadata.ns,
          vm.metadata.name};
}

runtime::ObjectReference ReferenceTo(const crd::VirtualMachine& vm) {
  return {std::string(crd::kApiVersion), std::string(crd::VirtualMachine::kKind), vm.metadata.ns,
          vm.metadata.name, vm.metadata.uid};
}

}  // namespace forkplane::virtual_machine
