#include "reconcilers/virtual_machine/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace forkplane::virtual_machine {
namespace {

using vmm::MachineState;

// How long a granted slot may wait for the network before others get it.
constexpr std::chrono::seconds kSlotHeldMax{5};

Result<Inputs> Gather(const Deps& deps, std::shared_ptr<const crd::VirtualMachine> vm,
                      const std::optional<ledger::VmLease>& lease) {
  Inputs inputs;
  inputs.vm = std::move(vm);
  inputs.host_name = deps.host_name;
  inputs.host = deps.hosts.Get(deps.host_name);
  inputs.capacity = deps.capacity;
  if (const auto uplink = deps.uplink_facts.Get(deps.host_name)) {
    inputs.capacity.upload_bits_per_second = uplink->upload_bits_per_second;
  }
  inputs.recorded = lease && lease->vmm;
  inputs.networks = NetworksOf(deps, inputs.vm->spec);
  for (const vmm::Hypervisor* hypervisor : deps.hypervisors) {
    inputs.hypervisors.push_back(hypervisor->capabilities());
  }
  if (lease) {
    ASSIGN_OR_RETURN(inputs.run, ReadRun(deps.storage, inputs.vm->metadata.uid));
  }
  if (inputs.vm->spec.restore_from) {
    const std::string& name = inputs.vm->spec.restore_from->snapshot_name;
    inputs.snapshot = deps.snapshots.Get(store::NamespacedName(inputs.vm->metadata.ns, name));
  }
  if (inputs.snapshot) {
    Lookup<storage::SnapshotManifest> manifest =
        deps.storage.ReadSnapshot(inputs.snapshot->metadata.uid);
    // The snapshot loop reports a damaged manifest; it must not delay the end of a VM that runs.
    if (manifest.ok()) {
      inputs.manifest = std::move(manifest).value();
    } else if (manifest.error().code != Code::kInternal) {
      return std::move(manifest).error();
    }
  }
  return inputs;
}

Status ObserveMachine(const Deps& deps, Context& context) {
  const std::string name = CurrentHypervisor(context.inputs);
  context.hypervisor = vmm::FindHypervisor(deps.hypervisors, name);
  // A VM without a lease has no process.
  if (!context.lease) return OkStatus();
  if (context.hypervisor == nullptr) {
    return Unavailable(fmt::format("hypervisor {} is not on this host", name));
  }
  ASSIGN_OR_RETURN(context.machine, context.hypervisor->Query(context.ref));
  return OkStatus();
}

void ObserveInterfaces(const Deps& deps, Context& context) {
  Observed& observed = context.observed;
  const std::vector<ledger::InterfaceClaim>& claims = context.desired.claims;
  std::size_t matched = 0;
  bool ready = true;
  for (const ledger::InterfaceLease& lease : context.lease->interfaces) {
    const runtime::InterfaceFacts facts =
        deps.interface_facts.Get(ledger::KeyOf(lease.id)).value_or(runtime::InterfaceFacts{});
    context.facts.push_back(facts);
    ready = ready && facts.ready;
    const bool wanted = std::any_of(
        claims.begin(), claims.end(),
        [&lease](const ledger::InterfaceClaim& claim) { return Satisfies(lease, claim); });
    if (wanted) {
      ++matched;
    } else if (lease.state == ledger::InterfaceState::kActive) {
      observed.surplus.push_back(lease.id);
    }
  }
  // An interface that is being released makes the claim incomplete until it is gone.
  observed.claimed = matched == claims.size() && matched == context.lease->interfaces.size() &&
                     deps.compute.Holds(context.vm().metadata.uid);
  observed.network_ready = observed.claimed && ready;
}

// True as well for a driver without processes.
bool IsOf(const vmm::Observation& machine, const process::ProcessRecord& record) {
  return !machine.process || *machine.process == record;
}

std::optional<process::ProcessRecord> LastProcess(const ledger::VmLease& lease) {
  if (!lease.vmm) return std::nullopt;
  return ToProcess(*lease.vmm);
}

Status ObserveRun(const Deps& deps, Context& context) {
  Observed& observed = context.observed;
  const std::optional<ledger::VmmRecord>& record = context.lease->vmm;
  observed.run_written = context.inputs.run.has_value();
  observed.run_boots = observed.run_written && context.inputs.run->boots;
  const std::optional<process::ProcessRecord> process =
      context.machine.process ? context.machine.process : LastProcess(*context.lease);
  if (process) {
    ASSIGN_OR_RETURN(observed.stopping,
                     ReadStop(deps.storage, context.vm().metadata.uid, *process));
  }
  if (!record) return OkStatus();
  observed.recorded =
      context.machine.state == MachineState::kAbsent || IsOf(context.machine, ToProcess(*record));
  ASSIGN_OR_RETURN(observed.exited_clean,
                   ReadExitedClean(deps.storage, context.vm().metadata.uid, *record));
  return OkStatus();
}

void ObserveSlot(const Deps& deps, const VmMemory& memory, Context& context) {
  Observed& observed = context.observed;
  if (!context.lease->slot) return;
  observed.slot = true;
  observed.slot_granted = context.lease->slot->granted;
  observed.slot_overheld = observed.slot_granted && !observed.network_ready && memory.granted &&
                           deps.clock.Now() - *memory.granted > kSlotHeldMax;
}

bool AboutToStart(const Context& context) {
  const bool fresh = context.machine.state == MachineState::kAbsent && !context.observed.recorded;
  return context.desired.state.power == Power::kRunning && fresh && !context.desired.block;
}

std::optional<Block> Refusal(const char* field, const std::string& path, const Error& error) {
  return Block{crd::condition::kScheduled, "ImageNotUsable",
               fmt::format("{}: \"{}\": {}; put one below the image roots that everybody may read",
                           field, path, error.message)};
}

bool IsRefusal(const Error& error) {
  return error.code == Code::kInvalid || error.code == Code::kNotFound;
}

Status OpenImage(const Deps& deps, const char* field, const std::string& path, UniqueFd& fd,
                 std::optional<Block>& block) {
  if (path.empty() || block) return OkStatus();
  Result<UniqueFd> opened = deps.storage.OpenImage(path);
  if (opened.ok()) {
    fd = std::move(opened).value();
    return OkStatus();
  }
  if (!IsRefusal(opened.error())) return std::move(opened).error();
  block = Refusal(field, path, opened.error());
  return OkStatus();
}

Status OpenMemory(const Deps& deps, Context& context) {
  const Blueprint& blueprint = context.desired.blueprint;
  if (!blueprint.needs_template) {
    ASSIGN_OR_RETURN(context.files.memory,
                     deps.storage.OpenSnapshotFile(blueprint.snapshot_uid, "memory"));
    return OkStatus();
  }
  ASSIGN_OR_RETURN(std::optional<UniqueFd> memory, deps.templates.Get(blueprint.snapshot_uid));
  if (memory) {
    context.files.memory = std::move(*memory);
  } else {
    context.desired.block = Block{crd::condition::kRestored, "TemplateNotLoaded",
                                  "the snapshot's memory is being loaded by its own loop"};
  }
  return OkStatus();
}

Status OpenFiles(const Deps& deps, Context& context) {
  const Blueprint& blueprint = context.desired.blueprint;
  if (context.desired.state.restore) {
    RETURN_IF_ERROR(OpenMemory(deps, context));
  } else {
    std::optional<Block>& block = context.desired.block;
    RETURN_IF_ERROR(
        OpenImage(deps, "spec.boot.kernel", blueprint.boot.kernel, context.files.kernel, block));
    RETURN_IF_ERROR(OpenImage(deps, "spec.boot.initramfs", blueprint.boot.initramfs,
                              context.files.initramfs, block));
  }
  context.desired.state.blocked = context.desired.block.has_value();
  return OkStatus();
}

}  // namespace

Networks NetworksOf(const Deps& deps, const crd::VirtualMachineSpec& spec) {
  Networks networks;
  for (const crd::Interface& interface : spec.interfaces) {
    networks[interface.network] = deps.networks.Get(interface.network);
  }
  return networks;
}

ledger::VmmRecord ToLedger(const process::ProcessRecord& record, const std::string& cgroup) {
  return {record.pid, record.start_ticks, record.boot_id, cgroup};
}

process::ProcessRecord ToProcess(const ledger::VmmRecord& record) {
  return {record.pid, record.start_time_ticks, record.boot_id};
}

Result<Context> Observe(const Deps& deps, std::shared_ptr<const crd::VirtualMachine> vm,
                        const VmMemory& memory) {
  Context context;
  const std::string uid = vm->metadata.uid;
  const std::int64_t generation = vm->metadata.generation;
  context.ref = {uid, deps.storage.VmDirectory(uid)};
  context.lease = deps.ledger.GetVm(uid);
  ASSIGN_OR_RETURN(context.inputs, Gather(deps, std::move(vm), context.lease));
  context.desired = Desire(context.inputs);
  RETURN_IF_ERROR(ObserveMachine(deps, context));
  Observed& observed = context.observed;
  observed.now = deps.clock.Now();
  observed.machine = context.machine.state;
  observed.restored = context.machine.restored;
  observed.capturing = context.machine.capturing;
  observed.watched = !context.machine.process || memory.watched == context.machine.process;
  observed.backoff =
      deps.clock.Now() < memory.not_before || memory.refused_generation == generation;
  if (context.lease) {
    observed.leased = true;
    observed.releasing = context.lease->releasing;
    ObserveInterfaces(deps, context);
    RETURN_IF_ERROR(ObserveRun(deps, context));
    observed.asked = observed.stopping && memory.asked == observed.stopping;
    ObserveSlot(deps, memory, context);
  }
  if (AboutToStart(context)) RETURN_IF_ERROR(OpenFiles(deps, context));
  return context;
}

}  // namespace forkplane::virtual_machine
