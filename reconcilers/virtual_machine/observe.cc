#include "reconcilers/virtual_machine/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace forkplane::virtual_machine {
namespace {

using vmm::MachineState;

// How long a granted slot may wait for the network before others get it.
constexpr std::chrono::seconds kSlotHeldMax{5};

vmm::Hypervisor* FindDriver(const Deps& deps, const std::string& name) {
  for (vmm::Hypervisor* hypervisor : deps.hypervisors) {
    if (hypervisor->capabilities().name == name) return hypervisor;
  }
  return nullptr;
}

Result<Inputs> Gather(const Deps& deps, std::shared_ptr<const crd::VirtualMachine> vm,
                      const std::optional<ledger::VmLease>& lease) {
  Inputs inputs;
  inputs.vm = std::move(vm);
  inputs.host_name = deps.host_name;
  inputs.host = deps.hosts.Get(deps.host_name);
  inputs.capacity = deps.capacity;
  inputs.recorded = lease && lease->vmm;
  for (const crd::Interface& interface : inputs.vm->spec.interfaces) {
    inputs.networks[interface.network] = deps.networks.Get(interface.network);
  }
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
    // A damaged one is its own loop's to tell; it must not hold up the end of a VM that runs.
    if (manifest.ok()) {
      inputs.manifest = std::move(manifest).value();
    } else if (manifest.error().code != Code::kInternal) {
      return std::move(manifest).error();
    }
  }
  return inputs;
}

Status LookAtMachine(const Deps& deps, Scene& scene) {
  const std::string name = CurrentHypervisor(scene.inputs);
  scene.hypervisor = FindDriver(deps, name);
  // Without a lease nothing was ever begun for it.
  if (!scene.lease) return OkStatus();
  if (scene.hypervisor == nullptr) {
    return Unavailable(fmt::format("hypervisor {} is not on this host", name));
  }
  ASSIGN_OR_RETURN(scene.machine, scene.hypervisor->Query(scene.ref));
  return OkStatus();
}

void SeeInterfaces(const Deps& deps, Scene& scene) {
  Sight& sight = scene.sight;
  const std::vector<ledger::InterfaceClaim>& claims = scene.desired.claims;
  std::size_t matched = 0;
  bool ready = true;
  for (const ledger::InterfaceLease& lease : scene.lease->interfaces) {
    const runtime::InterfaceFacts facts =
        deps.interface_facts.Get(ledger::KeyOf(lease.id)).value_or(runtime::InterfaceFacts{});
    scene.facts.push_back(facts);
    ready = ready && facts.ready;
    const bool wanted = std::any_of(
        claims.begin(), claims.end(),
        [&lease](const ledger::InterfaceClaim& claim) { return Satisfies(lease, claim); });
    if (wanted) {
      ++matched;
    } else if (lease.state == ledger::InterfaceState::kActive) {
      sight.surplus.push_back(lease.id);
    }
  }
  // Releasing ones count as unready: the claim is not whole before they are gone.
  sight.claimed = matched == claims.size() && matched == scene.lease->interfaces.size() &&
                  deps.compute.Holds(scene.vm().metadata.uid);
  sight.network_ready = sight.claimed && ready;
}

// A driver without processes has nothing to compare.
bool IsOf(const vmm::Observation& machine, const process::ProcessRecord& record) {
  return !machine.process || *machine.process == record;
}

std::optional<process::ProcessRecord> LastProcess(const ledger::VmLease& lease) {
  if (!lease.vmm) return std::nullopt;
  return ToProcess(*lease.vmm);
}

Status SeeRun(const Deps& deps, Scene& scene) {
  Sight& sight = scene.sight;
  const std::optional<ledger::VmmRecord>& record = scene.lease->vmm;
  sight.run_written = scene.inputs.run.has_value();
  sight.run_boots = sight.run_written && scene.inputs.run->boots;
  const std::optional<process::ProcessRecord> process =
      scene.machine.process ? scene.machine.process : LastProcess(*scene.lease);
  if (process) {
    ASSIGN_OR_RETURN(sight.stopping, ReadStop(deps.storage, scene.vm().metadata.uid, *process));
  }
  if (!record) return OkStatus();
  sight.recorded =
      scene.machine.state == MachineState::kAbsent || IsOf(scene.machine, ToProcess(*record));
  ASSIGN_OR_RETURN(sight.exited_clean,
                   ReadExitedClean(deps.storage, scene.vm().metadata.uid, *record));
  return OkStatus();
}

void SeeSlot(const Deps& deps, const VmMemory& memory, Scene& scene) {
  Sight& sight = scene.sight;
  if (!scene.lease->slot) return;
  sight.slot = true;
  sight.slot_granted = scene.lease->slot->granted;
  sight.slot_overheld = sight.slot_granted && !sight.network_ready && memory.granted &&
                        deps.clock.Now() - *memory.granted > kSlotHeldMax;
}

bool AboutToStart(const Scene& scene) {
  const bool fresh = scene.machine.state == MachineState::kAbsent && !scene.sight.recorded;
  return scene.desired.goal.power == Power::kRunning && fresh && !scene.desired.block;
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

Status OpenMemory(const Deps& deps, Scene& scene) {
  const Blueprint& blueprint = scene.desired.blueprint;
  if (!blueprint.needs_template) {
    ASSIGN_OR_RETURN(scene.files.memory,
                     deps.storage.OpenSnapshotFile(blueprint.snapshot_uid, "memory"));
    return OkStatus();
  }
  ASSIGN_OR_RETURN(std::optional<UniqueFd> memory, deps.templates.Get(blueprint.snapshot_uid));
  if (memory) {
    scene.files.memory = std::move(*memory);
  } else {
    scene.desired.block = Block{crd::condition::kRestored, "TemplateNotLoaded",
                                "the snapshot's memory is being loaded by its own loop"};
  }
  return OkStatus();
}

Status OpenFiles(const Deps& deps, Scene& scene) {
  const Blueprint& blueprint = scene.desired.blueprint;
  if (scene.desired.goal.restore) {
    RETURN_IF_ERROR(OpenMemory(deps, scene));
  } else {
    std::optional<Block>& block = scene.desired.block;
    RETURN_IF_ERROR(
        OpenImage(deps, "spec.boot.kernel", blueprint.boot.kernel, scene.files.kernel, block));
    RETURN_IF_ERROR(OpenImage(deps, "spec.boot.initramfs", blueprint.boot.initramfs,
                              scene.files.initramfs, block));
  }
  scene.desired.goal.blocked = scene.desired.block.has_value();
  return OkStatus();
}

}  // namespace

ledger::VmmRecord ToLedger(const process::ProcessRecord& record, const std::string& cgroup) {
  return {record.pid, record.start_ticks, record.boot_id, cgroup};
}

process::ProcessRecord ToProcess(const ledger::VmmRecord& record) {
  return {record.pid, record.start_time_ticks, record.boot_id};
}

Result<Scene> Observe(const Deps& deps, std::shared_ptr<const crd::VirtualMachine> vm,
                      const VmMemory& memory) {
  Scene scene;
  const std::string uid = vm->metadata.uid;
  const std::int64_t generation = vm->metadata.generation;
  scene.ref = {uid, deps.storage.VmDirectory(uid)};
  scene.lease = deps.ledger.GetVm(uid);
  ASSIGN_OR_RETURN(scene.inputs, Gather(deps, std::move(vm), scene.lease));
  scene.desired = Desire(scene.inputs);
  RETURN_IF_ERROR(LookAtMachine(deps, scene));
  Sight& sight = scene.sight;
  sight.now = deps.clock.Now();
  sight.machine = scene.machine.state;
  sight.restored = scene.machine.restored;
  sight.capturing = scene.machine.capturing;
  sight.watched = !scene.machine.process || memory.watched == scene.machine.process;
  sight.backoff = deps.clock.Now() < memory.not_before || memory.refused_generation == generation;
  if (scene.lease) {
    sight.leased = true;
    sight.releasing = scene.lease->releasing;
    SeeInterfaces(deps, scene);
    RETURN_IF_ERROR(SeeRun(deps, scene));
    sight.asked = sight.stopping && memory.asked == sight.stopping;
    SeeSlot(deps, memory, scene);
  }
  if (AboutToStart(scene)) RETURN_IF_ERROR(OpenFiles(deps, scene));
  return scene;
}

}  // namespace forkplane::virtual_machine
