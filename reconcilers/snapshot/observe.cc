#include "reconcilers/snapshot/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "reconcilers/snapshot/users.h"

namespace forkplane::snapshot {
namespace {

vmm::Hypervisor* FindDriver(const Deps& deps, const std::string& name) {
  const auto found = std::find_if(deps.hypervisors.begin(), deps.hypervisors.end(),
                                  [&name](const vmm::Hypervisor* hypervisor) {
                                    return hypervisor->capabilities().name == name;
                                  });
  return found == deps.hypervisors.end() ? nullptr : *found;
}

bool OnOneNetwork(const crd::VirtualMachine& vm) {
  const auto& interfaces = vm.spec.interfaces;
  return std::all_of(interfaces.begin(), interfaces.end(), [&](const crd::Interface& interface) {
    return interface.network == interfaces.front().network;
  });
}

std::optional<Trouble> SourceTrouble(const Scene& scene) {
  const std::string& name = scene.snapshot->spec.source.virtual_machine_name;
  const auto say = [&name](std::string_view rest) {
    return fmt::format("spec.source.virtualMachineName: VirtualMachine \"{}\" {}", name, rest);
  };
  if (!scene.source) {
    return Trouble{"SourceNotFound", say("does not exist: create it or name another")};
  }
  if (scene.source->metadata.IsBeingDeleted()) {
    return Trouble{"SourceTerminating", say("is being deleted")};
  }
  if (!scene.source_facts.running || scene.hypervisor == nullptr) {
    return Trouble{"SourceNotRunning", say("is not running yet: its powerState must be Running")};
  }
  const vmm::Capabilities& capabilities = scene.hypervisor->capabilities();
  if (!capabilities.snapshot_full || capabilities.pause_method == vmm::PauseMethod::kNone) {
    return Trouble{"NotSupported", say(capabilities.name + " cannot snapshot a running machine")};
  }
  if (scene.source->spec.restore_from && !capabilities.snapshot_of_fork) {
    return Trouble{"NotSupported",
                   say("is a fork, which " + capabilities.name + " cannot snapshot")};
  }
  if (!OnOneNetwork(*scene.source)) {
    return Trouble{"NotSupported", say("has interfaces on several Networks: a snapshot of it is "
                                       "not supported yet")};
  }
  return std::nullopt;
}

void SeeSource(const Deps& deps, Scene& scene) {
  const crd::Snapshot& snapshot = *scene.snapshot;
  if (snapshot.spec.source.virtual_machine_name.empty()) return;
  scene.source = deps.vms.Get(
      store::NamespacedName(snapshot.metadata.ns, snapshot.spec.source.virtual_machine_name));
  if (!scene.source) return;
  scene.source_facts = deps.vmm_facts.Get(scene.source->metadata.uid).value_or(runtime::VmmFacts{});
  scene.hypervisor = FindDriver(deps, scene.source_facts.hypervisor);
}

Status SeeFiles(const Deps& deps, Scene& scene) {
  const std::string& uid = scene.snapshot->metadata.uid;
  Lookup<storage::SnapshotManifest> manifest = deps.storage.ReadSnapshot(uid);
  if (!manifest.ok()) {
    if (manifest.error().code != Code::kInternal) return std::move(manifest).error();
    scene.sight.damaged = true;
    scene.damage = manifest.error().message;
    return OkStatus();
  }
  scene.manifest = std::move(manifest).value();
  if (!scene.manifest) return OkStatus();
  scene.sight.committed = true;
  scene.hypervisor = FindDriver(deps, scene.manifest->hypervisor);
  Result<Description> description = ReadDescription(deps.storage, uid);
  if (!description.ok()) {
    if (description.error().code == Code::kUnavailable) return std::move(description).error();
    scene.sight.damaged = true;
    scene.damage = description.error().message;
    return OkStatus();
  }
  scene.description = std::move(description).value();
  return OkStatus();
}

Status SeeTemplate(const Deps& deps, Scene& scene) {
  scene.sight.holds_memory =
      scene.hypervisor != nullptr && scene.hypervisor->capabilities().needs_template;
  ASSIGN_OR_RETURN(const std::optional<UniqueFd> held,
                   deps.templates.Get(scene.snapshot->metadata.uid));
  scene.sight.held = held.has_value();
  return OkStatus();
}

// From the cache; before the files go, from the store itself.
Status SeeUsers(const Deps& deps, Scene& scene) {
  const crd::Snapshot& snapshot = *scene.snapshot;
  scene.users = UsersOf(snapshot, CachedCandidates(deps, snapshot.metadata.ns));
  if (scene.goal.gone && scene.users.empty()) {
    ASSIGN_OR_RETURN(const Candidates stored, StoredCandidates(deps.store, snapshot.metadata.ns));
    scene.users = UsersOf(snapshot, stored);
  }
  scene.goal.pinned = !scene.users.empty();
  return OkStatus();
}

}  // namespace

std::optional<Trouble> Unsupported(const crd::SnapshotSpec& spec) {
  if (spec.source.import) {
    return Trouble{"NotSupported",
                   "spec.source.import: importing snapshots is not supported yet: take one of a "
                   "VirtualMachine"};
  }
  if (spec.type != crd::SnapshotType::kFull) {
    return Trouble{"NotSupported", "spec.type: Diff is not supported yet: use Full"};
  }
  if (!spec.memory) {
    return Trouble{"NotSupported",
                   "spec.memory: snapshots without memory are not supported yet: set it to true"};
  }
  return std::nullopt;
}

Result<Scene> Observe(const Deps& deps, std::shared_ptr<const crd::Snapshot> snapshot,
                      const SnapshotMemory& memory) {
  Scene scene;
  scene.snapshot = std::move(snapshot);
  scene.goal.gone = scene.snapshot->metadata.IsBeingDeleted();
  scene.goal.finalizer = scene.snapshot->metadata.HasFinalizer(crd::kSnapshotFinalizer);
  scene.refusal = Unsupported(scene.snapshot->spec);
  scene.goal.refused = scene.refusal.has_value();
  SeeSource(deps, scene);
  RETURN_IF_ERROR(SeeFiles(deps, scene));
  RETURN_IF_ERROR(SeeTemplate(deps, scene));
  RETURN_IF_ERROR(SeeUsers(deps, scene));
  scene.source_trouble = SourceTrouble(scene);
  scene.sight.source_ready = !scene.source_trouble;
  scene.sight.backoff = deps.clock.Now() < memory.not_before;
  scene.sight.given_up = memory.failures >= kCapturesMax;
  return scene;
}

}  // namespace forkplane::snapshot
