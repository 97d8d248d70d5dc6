#include "reconcilers/fork/desire.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "crd/applied_template.h"
#include "crd/well_known.h"

namespace forkplane::fork {
namespace {

namespace condition = crd::condition;

Obstacle Stuck(std::string_view reason, std::string message) {
  return {condition::kSourcePinned, reason, std::move(message), true};
}
Obstacle Late(std::string_view reason, std::string message) {
  return {condition::kSourcePinned, reason, std::move(message), false};
}

bool IsOurs(const crd::ObjectMeta& child, const crd::Fork& fork) {
  return child.IsOwnedBy(fork.metadata.uid);
}

std::optional<Obstacle> Unsupported(const crd::ForkSpec& spec) {
  if (spec.target_state == crd::PowerState::kStandby) {
    return Stuck("NotSupported",
                 "spec.targetState: Standby is not supported yet: use Running or Stopped");
  }
  const std::optional<crd::Identity>& identity = spec.vm_template.spec.identity;
  if (identity && *identity != crd::Identity::kTranslated) {
    return Stuck("NotSupported",
                 fmt::format("spec.template.spec.identity: {} is not supported yet: use Translated",
                             crd::ToString(*identity)));
  }
  return std::nullopt;
}

// A host that the spec names need not take new machines, as with spec.hostName of a VM.
std::optional<Obstacle> ClosedObstacle(const Context& context) {
  if (!context.host || context.host->spec.TakesMachines()) return std::nullopt;
  const bool drained = context.host->spec.drain != crd::Drain::kNone;
  return Late(
      drained ? "HostDrained" : "HostUnschedulable",
      fmt::format("Host {} takes no new machines: {}, or name it in "
                  "spec.template.spec.hostName",
                  context.host_name,
                  drained ? "set its spec.drain to None" : "set its spec.unschedulable to false"));
}

// The clone runs where its snapshot lies.
std::optional<Obstacle> HostObstacle(const Context& context) {
  const std::string& wanted = context.fork->spec.vm_template.spec.host_name;
  if (wanted.empty()) return ClosedObstacle(context);
  if (wanted == context.host_name) return std::nullopt;
  return Stuck("HostNotFound", fmt::format("spec.template.spec.hostName: there is no host {}: name "
                                           "{} or leave it empty",
                                           wanted, context.host_name));
}

std::optional<Obstacle> SnapshotObstacle(const Context& context) {
  const crd::Fork& fork = *context.fork;
  const std::string name = SnapshotName(fork);
  if (!context.snapshot) {
    if (context.observed.takes_snapshot) return std::nullopt;
    return Late("SnapshotNotFound",
                fmt::format("spec.source.name: there is no Snapshot \"{}\": create it or fork "
                            "another",
                            name));
  }
  if (context.observed.takes_snapshot && !IsOurs(context.snapshot->metadata, fork)) {
    return Stuck("NameTaken", fmt::format("Snapshot \"{}\" exists and is not of this Fork: delete "
                                          "it or name the Fork otherwise",
                                          name));
  }
  // Forks created before the deletion hold the snapshot; the snapshot loop compares the same times.
  const crd::ObjectMeta& meta = context.snapshot->metadata;
  if (meta.IsBeingDeleted() && fork.metadata.creation_timestamp > meta.deletion_timestamp) {
    return Stuck(
        "SnapshotTerminating",
        fmt::format("spec.source.name: Snapshot \"{}\" is being deleted: fork another", name));
  }
  if (context.snapshot->status.phase == crd::SnapshotPhase::kFailed) {
    return Stuck("SnapshotFailed",
                 fmt::format("Snapshot \"{}\" failed: see its conditions and take another", name));
  }
  return std::nullopt;
}

std::optional<Obstacle> SourceVmObstacle(const Context& context) {
  if (!context.observed.takes_snapshot || context.snapshot || context.source_vm)
    return std::nullopt;
  return Late("SourceNotFound",
              fmt::format("spec.source.name: there is no VirtualMachine \"{}\": create it or fork "
                          "another",
                          context.fork->spec.source.name));
}

std::optional<Obstacle> TemplateObstacle(const Context& context) {
  const auto& overrides = context.fork->spec.vm_template.spec.interfaces;
  const auto& captured = context.snapshot->status.machine->interfaces;
  for (std::size_t i = 0; i < overrides.size(); ++i) {
    const bool known = std::any_of(
        captured.begin(), captured.end(),
        [&](const crd::MachineInterface& one) { return one.name == overrides[i].name; });
    if (known) continue;
    return Stuck(
        "InterfaceNotFound",
        fmt::format("spec.template.spec.interfaces[{}].name: the snapshot has no interface "
                    "\"{}\": name one it has",
                    i, overrides[i].name));
  }
  return std::nullopt;
}

// The network that the guest's memory knows must be the one it is restored on.
std::optional<Obstacle> NetworkObstacle(const Context& context) {
  const crd::SnapshotStatus& status = context.snapshot->status;
  if (!status.network || status.machine->interfaces.empty()) return std::nullopt;
  const std::string& name = status.machine->interfaces.front().network;
  if (!context.network) {
    return Late(
        "NetworkNotFound",
        fmt::format("the snapshot was taken on Network \"{}\", which is gone: create it "
                    "with cidr {}, gateway {} and mtu {}",
                    name, status.network->cidr, status.network->gateway, status.network->mtu));
  }
  const crd::NetworkSpec& spec = context.network->spec;
  const Result<crd::NetworkAddresses> addresses = crd::NetworkAddresses::Of(spec);
  const bool same = addresses.ok() && status.network->cidr == spec.cidr &&
                    status.network->gateway == ToString(addresses->gateway) &&
                    status.network->mtu == spec.mtu;
  if (same) return std::nullopt;
  return Late(
      "NetworkDiffers",
      fmt::format("Network \"{}\": spec.cidr, spec.gateway or spec.mtu is not what the "
                  "guest was captured with ({}, {}, {}): set them so or take the snapshot "
                  "again",
                  name, status.network->cidr, status.network->gateway, status.network->mtu));
}

std::optional<Obstacle> FindObstacle(const Context& context) {
  if (auto obstacle = Unsupported(context.fork->spec)) return obstacle;
  if (auto obstacle = HostObstacle(context)) return obstacle;
  if (context.vm && !IsOurs(context.vm->metadata, *context.fork)) {
    return Stuck("NameTaken",
                 fmt::format("VirtualMachine \"{}\" exists and is not of this Fork: delete it or "
                             "name the Fork otherwise",
                             context.vm->metadata.name));
  }
  if (auto obstacle = SourceVmObstacle(context)) return obstacle;
  if (auto obstacle = SnapshotObstacle(context)) return obstacle;
  if (!context.observed.snapshot_ready) return std::nullopt;
  if (auto obstacle = TemplateObstacle(context)) return obstacle;
  return NetworkObstacle(context);
}

crd::OwnerReference OwnerOf(const crd::Fork& fork) {
  return {std::string(crd::kApiVersion),
          std::string(crd::Fork::kKind),
          fork.metadata.name,
          fork.metadata.uid,
          true,
          true};
}

// The bandwidth of the clone's interface: the Fork's, or else the captured one.
std::optional<crd::Bandwidth> BandwidthOf(const crd::ForkSpec& spec, const std::string& interface,
                                          const std::optional<crd::Bandwidth>& captured) {
  for (const crd::InterfaceOverride& wanted : spec.vm_template.spec.interfaces) {
    if (wanted.name != interface) continue;
    const crd::Bandwidth merged = crd::Merged(wanted.bandwidth, captured);
    if (!(merged == crd::Bandwidth{})) return merged;
  }
  return captured;
}

std::vector<crd::Interface> InterfacesOf(const Context& context) {
  std::vector<crd::Interface> interfaces;
  for (const crd::MachineInterface& captured : context.snapshot->status.machine->interfaces) {
    interfaces.push_back({captured.name, captured.network, "",
                          BandwidthOf(context.fork->spec, captured.name, captured.bandwidth)});
  }
  return interfaces;
}

// The hash of those parts of the spec that reach the VM.
std::string HashOf(const crd::ForkSpec& spec) {
  crd::Fork carrier;
  carrier.spec.target_state = spec.target_state;
  carrier.spec.vm_template = spec.vm_template;
  carrier.spec.admission_policy = spec.admission_policy;
  return crd::TemplateHash(carrier.ToText());
}

// The fields of the template that the existing VM cannot be brought to.
std::vector<std::string> NotUpdated(const crd::ForkSpec& spec, const crd::VirtualMachine& vm) {
  std::vector<std::string> fields;
  const std::string created =
      crd::AppliedTo(vm.metadata).value_or(crd::AppliedTemplate{}).target_state;
  if (!created.empty() && created != crd::ToString(spec.target_state)) {
    fields.push_back(
        fmt::format("spec.targetState ({}): applies when the machine is made: set spec.powerState "
                    "of VirtualMachine \"{}\"",
                    crd::ToString(spec.target_state), vm.metadata.name));
  }
  const crd::VmOverrides& wanted = spec.vm_template.spec;
  if (!wanted.host_name.empty() && wanted.host_name != vm.spec.host_name) {
    fields.push_back(
        fmt::format("spec.template.spec.hostName ({}): the machine is bound to {}: "
                    "make a new Fork",
                    wanted.host_name, vm.spec.host_name));
  }
  for (std::size_t i = 0; i < wanted.interfaces.size(); ++i) {
    const bool known = std::any_of(
        vm.spec.interfaces.begin(), vm.spec.interfaces.end(),
        [&](const crd::Interface& one) { return one.name == wanted.interfaces[i].name; });
    if (known) continue;
    fields.push_back(
        fmt::format("spec.template.spec.interfaces[{}].name: the machine has no "
                    "interface \"{}\"",
                    i, wanted.interfaces[i].name));
  }
  return fields;
}

}  // namespace

// An Invalid refusal is terminal until somebody changes the Fork or what its child is made from.
Obstacle Refused(const Error& error) {
  return {condition::kReady, "FailedCreate", error.message, error.code == Code::kInvalid};
}

std::string VmName(const crd::Fork& fork) { return fork.metadata.name; }

std::string SnapshotName(const crd::Fork& fork) {
  if (fork.spec.source.kind == crd::ForkSourceKind::kSnapshot) return fork.spec.source.name;
  return fmt::format("{}{}", fork.metadata.name, crd::kSourceSuffix);
}

std::optional<WallTime> ParseTime(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

void Judge(Context& context, WallTime now) {
  const crd::Fork& fork = *context.fork;
  Observed& observed = context.observed;
  observed.gone = fork.metadata.IsBeingDeleted();
  const std::optional<WallTime> created = ParseTime(fork.metadata.creation_timestamp);
  if (fork.spec.ttl && created) {
    context.expires =
        *created + std::chrono::duration_cast<WallTime::duration>(fork.spec.ttl->Value());
  }
  observed.expired = context.expires && now >= *context.expires;
  observed.takes_snapshot = fork.spec.source.kind == crd::ForkSourceKind::kVirtualMachine;
  observed.snapshot = context.snapshot != nullptr;
  observed.snapshot_ready = context.snapshot && context.snapshot->status.machine &&
                            context.snapshot->status.phase == crd::SnapshotPhase::kReady;
  observed.vm = context.vm && IsOurs(context.vm->metadata, fork);
  observed.vm_terminating = observed.vm && context.vm->metadata.IsBeingDeleted();
  if (observed.vm) {
    const std::optional<crd::AppliedTemplate> applied = crd::AppliedTo(context.vm->metadata);
    observed.vm_outdated = !applied || applied->hash != HashOf(fork.spec);
    context.not_updated = NotUpdated(fork.spec, *context.vm);
  }
  if (!observed.vm) context.obstacle = FindObstacle(context);
  observed.blocked = context.obstacle.has_value();
}

// The clone has the captured guest, devices, limits and grace period. Host, power, identity,
// addresses and restart policy are its own.
crd::VirtualMachine MakeVm(const Context& context) {
  const crd::Fork& fork = *context.fork;
  const crd::VmOverrides& wanted = fork.spec.vm_template.spec;
  const crd::SnapshotMachine& machine = *context.snapshot->status.machine;
  crd::VirtualMachine vm;
  vm.metadata.name = VmName(fork);
  vm.metadata.ns = fork.metadata.ns;
  crd::AppliedTemplate applied;
  applied.hash = HashOf(fork.spec);
  applied.target_state = crd::ToString(fork.spec.target_state);
  crd::ApplyTemplate(fork.spec.vm_template.metadata, std::move(applied), vm.metadata);
  vm.metadata.annotations[std::string(crd::kSnapshotUidAnnotation)] =
      context.snapshot->metadata.uid;
  vm.metadata.owner_references = {OwnerOf(fork)};
  vm.metadata.finalizers = {std::string(crd::kVmFinalizer)};
  vm.spec.host_name = context.host_name;
  vm.spec.power_state = fork.spec.target_state;
  vm.spec.hypervisor = context.snapshot->status.hypervisor;
  vm.spec.cpus = machine.cpus;
  vm.spec.memory = machine.memory;
  vm.spec.boot = machine.boot;
  vm.spec.disks = machine.disks;
  vm.spec.interfaces = InterfacesOf(context);
  vm.spec.vsock = machine.vsock;
  vm.spec.restore_from = crd::RestoreFrom{context.snapshot->metadata.name};
  vm.spec.identity = wanted.identity.value_or(crd::Identity::kTranslated);
  vm.spec.restart_policy = wanted.restart_policy;
  vm.spec.restart_mode = wanted.restart_mode.value_or(crd::RestartMode::kBoot);
  vm.spec.admission_policy = fork.spec.admission_policy;
  if (machine.termination_grace_period_seconds) {
    vm.spec.termination_grace_period_seconds = *machine.termination_grace_period_seconds;
  }
  return vm;
}

void UpdateFromTemplate(const Context& context, crd::VirtualMachine& vm) {
  const crd::ForkSpec& spec = context.fork->spec;
  crd::AppliedTemplate applied = crd::AppliedTo(vm.metadata).value_or(crd::AppliedTemplate{});
  applied.hash = HashOf(spec);
  crd::ApplyTemplate(spec.vm_template.metadata, std::move(applied), vm.metadata);
  const crd::VmOverrides& wanted = spec.vm_template.spec;
  vm.spec.identity = wanted.identity.value_or(crd::Identity::kTranslated);
  vm.spec.restart_policy = wanted.restart_policy;
  vm.spec.restart_mode = wanted.restart_mode.value_or(crd::RestartMode::kBoot);
  vm.spec.admission_policy = spec.admission_policy;
  const bool captured = context.snapshot && context.snapshot->status.machine;
  if (!captured) return;  // an override that is gone falls back to what was captured
  for (const crd::MachineInterface& one : context.snapshot->status.machine->interfaces) {
    for (crd::Interface& interface : vm.spec.interfaces) {
      if (interface.name != one.name) continue;
      interface.bandwidth = BandwidthOf(spec, one.name, one.bandwidth);
    }
  }
}

crd::Snapshot MakeSnapshot(const crd::Fork& fork) {
  crd::Snapshot snapshot;
  snapshot.metadata.name = SnapshotName(fork);
  snapshot.metadata.ns = fork.metadata.ns;
  snapshot.metadata.owner_references = {OwnerOf(fork)};
  snapshot.metadata.finalizers = {std::string(crd::kSnapshotFinalizer)};
  snapshot.spec.source.virtual_machine_name = fork.spec.source.name;
  return snapshot;
}

}  // namespace forkplane::fork
