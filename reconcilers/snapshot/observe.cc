#include "reconcilers/snapshot/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "reconcilers/snapshot/users.h"

namespace forkplane::snapshot {
namespace {

bool OnOneNetwork(const crd::VirtualMachine& vm) {
  const auto& interfaces = vm.spec.interfaces;
  return std::all_of(interfaces.begin(), interfaces.end(), [&](const crd::Interface& interface) {
    return interface.network == interfaces.front().network;
  });
}

std::optional<Obstacle> SourceObstacle(const Context& context) {
  const std::string& name = context.snapshot->spec.source.virtual_machine_name;
  const auto say = [&name](std::string_view rest) {
    return fmt::format("spec.source.virtualMachineName: VirtualMachine \"{}\" {}", name, rest);
  };
  if (!context.source) {
    return Obstacle{"SourceNotFound", say("does not exist: create it or name another")};
  }
  if (context.source->metadata.IsBeingDeleted()) {
    return Obstacle{"SourceTerminating", say("is being deleted")};
  }
  if (!context.source_facts.running || context.hypervisor == nullptr) {
    return Obstacle{"SourceNotRunning", say("is not running yet: its powerState must be Running")};
  }
  const vmm::Capabilities& capabilities = context.hypervisor->capabilities();
  if (!capabilities.snapshot_full || capabilities.pause_method == vmm::PauseMethod::kNone) {
    return Obstacle{"NotSupported", say(capabilities.name + " cannot snapshot a running machine")};
  }
  if (context.source->spec.restore_from && !capabilities.snapshot_of_fork) {
    return Obstacle{"NotSupported",
                    say("is a fork, which " + capabilities.name + " cannot snapshot")};
  }
  if (!OnOneNetwork(*context.source)) {
    return Obstacle{"NotSupported", say("has interfaces on several Networks: a snapshot of it is "
                                        "not supported yet")};
  }
  return std::nullopt;
}

void ObserveSource(const Deps& deps, Context& context) {
  const crd::Snapshot& snapshot = *context.snapshot;
  if (snapshot.spec.source.virtual_machine_name.empty()) return;
  context.source = deps.vms.Get(
      store::NamespacedName(snapshot.metadata.ns, snapshot.spec.source.virtual_machine_name));
  if (!context.source) return;
  context.source_facts =
      deps.vmm_facts.Get(context.source->metadata.uid).value_or(runtime::VmmFacts{});
  context.hypervisor = vmm::FindHypervisor(deps.hypervisors, context.source_facts.hypervisor);
}

Status ObserveFiles(const Deps& deps, Context& context) {
  const std::string& uid = context.snapshot->metadata.uid;
  Lookup<storage::SnapshotManifest> manifest = deps.storage.ReadSnapshot(uid);
  if (!manifest.ok()) {
    if (manifest.error().code != Code::kInternal) return std::move(manifest).error();
    context.observed.damaged = true;
    context.damage = manifest.error().message;
    return OkStatus();
  }
  context.manifest = std::move(manifest).value();
  if (!context.manifest) return OkStatus();
  context.observed.committed = true;
  context.hypervisor = vmm::FindHypervisor(deps.hypervisors, context.manifest->hypervisor);
  Result<Description> description = ReadDescription(deps.storage, uid);
  if (!description.ok()) {
    if (description.error().code == Code::kUnavailable) return std::move(description).error();
    context.observed.damaged = true;
    context.damage = description.error().message;
    return OkStatus();
  }
  context.description = std::move(description).value();
  return OkStatus();
}

Status ObserveTemplate(const Deps& deps, Context& context) {
  context.observed.holds_memory =
      context.hypervisor != nullptr && context.hypervisor->capabilities().needs_template;
  ASSIGN_OR_RETURN(const std::optional<UniqueFd> held,
                   deps.templates.Get(context.snapshot->metadata.uid));
  context.observed.held = held.has_value();
  return OkStatus();
}

// The users as cached. Before the files are removed they are read from the store itself.
Status ObserveUsers(const Deps& deps, Context& context) {
  const crd::Snapshot& snapshot = *context.snapshot;
  context.users = UsersOf(snapshot, CachedCandidates(deps, snapshot.metadata.ns));
  if (context.desired.gone && context.users.empty()) {
    ASSIGN_OR_RETURN(const Candidates stored, StoredCandidates(deps.store, snapshot.metadata.ns));
    context.users = UsersOf(snapshot, stored);
  }
  context.desired.pinned = !context.users.empty();
  return OkStatus();
}

}  // namespace

std::optional<Obstacle> Unsupported(const crd::SnapshotSpec& spec) {
  if (spec.source.import) {
    return Obstacle{"NotSupported",
                    "spec.source.import: importing snapshots is not supported yet: take one of a "
                    "VirtualMachine"};
  }
  if (spec.type != crd::SnapshotType::kFull) {
    return Obstacle{"NotSupported", "spec.type: Diff is not supported yet: use Full"};
  }
  if (!spec.memory) {
    return Obstacle{"NotSupported",
                    "spec.memory: snapshots without memory are not supported yet: set it to true"};
  }
  return std::nullopt;
}

Result<Context> Observe(const Deps& deps, std::shared_ptr<const crd::Snapshot> snapshot,
                        const SnapshotMemory& memory) {
  Context context;
  context.snapshot = std::move(snapshot);
  context.desired.gone = context.snapshot->metadata.IsBeingDeleted();
  context.desired.finalizer = context.snapshot->metadata.HasFinalizer(crd::kSnapshotFinalizer);
  context.refusal = Unsupported(context.snapshot->spec);
  context.desired.refused = context.refusal.has_value();
  ObserveSource(deps, context);
  RETURN_IF_ERROR(ObserveFiles(deps, context));
  RETURN_IF_ERROR(ObserveTemplate(deps, context));
  RETURN_IF_ERROR(ObserveUsers(deps, context));
  context.source_obstacle = SourceObstacle(context);
  context.observed.source_ready = !context.source_obstacle;
  context.observed.backoff = deps.clock.Now() < memory.not_before;
  context.observed.given_up = memory.failures >= kCapturesMax;
  return context;
}

}  // namespace forkplane::snapshot
