#include "reconcilers/fork_set/desire.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "crd/json.h"
#include "crd/well_known.h"

namespace forkplane::fork_set {
namespace {

namespace condition = crd::condition;

const crd::ForkSource& SourceOf(const crd::ForkSet& set) {
  return set.spec.fork_template.spec.source;
}

std::optional<Obstacle> FindObstacle(const Scene& scene) {
  const crd::ForkSet& set = *scene.set;
  const std::string name = SnapshotName(set);
  if (scene.sight.takes_snapshot) {
    if (scene.snapshot && !scene.snapshot->metadata.IsOwnedBy(set.metadata.uid)) {
      return Obstacle{"NameTaken",
                      fmt::format("Snapshot \"{}\" exists and is not of this ForkSet: delete it or "
                                  "name the ForkSet otherwise",
                                  name),
                      true};
    }
    if (!scene.snapshot && !scene.source_vm) {
      return Obstacle{"SourceNotFound",
                      fmt::format("spec.template.spec.source.name: there is no VirtualMachine "
                                  "\"{}\": create it or name another",
                                  SourceOf(set).name)};
    }
  } else if (!scene.snapshot) {
    return Obstacle{"SnapshotNotFound",
                    fmt::format("spec.template.spec.source.name: there is no Snapshot \"{}\": "
                                "create it or name another",
                                name)};
  }
  if (scene.snapshot && scene.snapshot->status.phase == crd::SnapshotPhase::kFailed) {
    return Obstacle{"SnapshotFailed",
                    fmt::format("Snapshot \"{}\" failed: see its conditions", name), true};
  }
  return std::nullopt;
}

crd::OwnerReference OwnerOf(const crd::ForkSet& set) {
  return {std::string(crd::kApiVersion),
          std::string(crd::ForkSet::kKind),
          set.metadata.name,
          set.metadata.uid,
          true,
          true};
}

// FNV-1a, 64 bits: stable across builds, and no secret is at stake.
std::uint64_t Hash(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211ULL;
  }
  return hash;
}

bool IsReady(const crd::Fork& fork) {
  return !fork.metadata.IsBeingDeleted() &&
         fork.status.observed_generation == fork.metadata.generation &&
         crd::IsTrue(fork.status.conditions, condition::kReady);
}

}  // namespace

std::string ForkName(const crd::ForkSet& set, std::int64_t ordinal) {
  return fmt::format("{}-{}", set.metadata.name, ordinal);
}

std::int64_t OrdinalOf(const crd::ForkSet& set, const std::string& name) {
  const std::string prefix = set.metadata.name + "-";
  if (!name.starts_with(prefix)) return -1;
  std::int64_t ordinal = -1;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + prefix.size(), end, ordinal);
  const bool whole = error == std::errc() && rest == end && ForkName(set, ordinal) == name;
  return whole ? ordinal : -1;
}

std::string SnapshotName(const crd::ForkSet& set) {
  if (SourceOf(set).kind == crd::ForkSourceKind::kSnapshot) return SourceOf(set).name;
  return set.metadata.name + "-source";
}

std::string TemplateHash(const crd::ForkSet& set) {
  crd::Fork carrier;
  carrier.metadata.labels = set.spec.fork_template.metadata.labels;
  carrier.metadata.annotations = set.spec.fork_template.metadata.annotations;
  carrier.spec = set.spec.fork_template.spec;
  return fmt::format("{:016x}", Hash(carrier.ToText()));
}

crd::LabelSelector SelectorOf(const crd::ForkSet& set) {
  if (set.spec.selector && !set.spec.selector->Empty()) return *set.spec.selector;
  crd::LabelSelector selector;
  selector.match_labels = set.spec.fork_template.metadata.labels;
  if (selector.match_labels.empty()) {
    selector.match_labels[std::string(crd::kForkSetLabel)] = set.metadata.name;
  }
  return selector;
}

void Judge(Scene& scene) {
  const crd::ForkSet& set = *scene.set;
  Sight& sight = scene.sight;
  sight.gone = set.metadata.IsBeingDeleted();
  sight.takes_snapshot = SourceOf(set).kind == crd::ForkSourceKind::kVirtualMachine;
  sight.snapshot = scene.snapshot != nullptr;
  sight.snapshot_ready =
      scene.snapshot && scene.snapshot->status.phase == crd::SnapshotPhase::kReady;
  sight.replicas = set.spec.replicas;
  sight.max_concurrent = set.spec.max_concurrent;
  for (const auto& fork : scene.forks) {
    const std::int64_t ordinal = OrdinalOf(set, fork->metadata.name);
    if (ordinal < 0) continue;  // adopted by hand: not ours to count
    sight.children.push_back({ordinal, IsReady(*fork), fork->metadata.IsBeingDeleted()});
  }
  std::sort(sight.children.begin(), sight.children.end(),
            [](const Child& a, const Child& b) { return a.ordinal < b.ordinal; });
  scene.obstacle = FindObstacle(scene);
  sight.blocked = scene.obstacle.has_value();
}

crd::Fork MakeFork(const crd::ForkSet& set, std::int64_t ordinal) {
  crd::Fork fork;
  fork.metadata.name = ForkName(set, ordinal);
  fork.metadata.ns = set.metadata.ns;
  fork.metadata.labels = set.spec.fork_template.metadata.labels;
  fork.metadata.labels[std::string(crd::kForkSetLabel)] = set.metadata.name;
  fork.metadata.labels[std::string(crd::kTemplateHashLabel)] = TemplateHash(set);
  fork.metadata.annotations = set.spec.fork_template.metadata.annotations;
  fork.metadata.owner_references = {OwnerOf(set)};
  fork.spec = set.spec.fork_template.spec;
  fork.spec.source = {crd::ForkSourceKind::kSnapshot, SnapshotName(set)};
  return fork;
}

crd::Snapshot MakeSnapshot(const crd::ForkSet& set) {
  crd::Snapshot snapshot;
  snapshot.metadata.name = SnapshotName(set);
  snapshot.metadata.ns = set.metadata.ns;
  snapshot.metadata.owner_references = {OwnerOf(set)};
  snapshot.metadata.finalizers = {std::string(crd::kSnapshotFinalizer)};
  snapshot.spec.source.virtual_machine_name = SourceOf(set).name;
  return snapshot;
}

crd::ForkSetStatus BuildStatus(const Scene& scene) {
  const crd::ForkSet& set = *scene.set;
  const std::string hash = TemplateHash(set);
  crd::ForkSetStatus status;
  status.observed_generation = set.metadata.generation;
  for (const auto& fork : scene.forks) {
    if (OrdinalOf(set, fork->metadata.name) < 0) continue;
    status.replicas += 1;
    if (IsReady(*fork)) status.ready_replicas += 1;
    const auto label = fork->metadata.labels.find(std::string(crd::kTemplateHashLabel));
    if (label != fork->metadata.labels.end() && label->second == hash) status.updated_replicas += 1;
  }
  status.selector = SelectorOf(set).ToString();
  if (scene.snapshot) status.snapshot_name = scene.snapshot->metadata.name;
  const bool ready = !scene.sight.gone && !scene.obstacle && status.replicas == set.spec.replicas &&
                     status.ready_replicas == set.spec.replicas;
  const auto add = [&](std::string_view type, bool yes, std::string reason, std::string message) {
    status.conditions.push_back(
        {std::string(type), yes ? crd::ConditionStatus::kTrue : crd::ConditionStatus::kFalse,
         std::move(reason), std::move(message), set.metadata.generation, ""});
  };
  const std::string counts =
      fmt::format("{} of {} Forks are Ready", status.ready_replicas, set.spec.replicas);
  std::string reason = ready ? "AllReady" : "Scaling";
  std::string message = counts;
  if (scene.sight.gone) reason = "Terminating";
  if (!ready && scene.obstacle) {
    reason = scene.obstacle->reason;
    message = scene.obstacle->message;
  } else if (!ready && !scene.sight.snapshot_ready) {
    reason = "SnapshotNotReady";
    message = "waiting for the snapshot to be taken";
  }
  if (!ready) {
    const bool stalled = scene.obstacle && scene.obstacle->terminal;
    add(stalled ? condition::kStalled : condition::kReconciling, true, reason, message);
  }
  add(condition::kReady, ready, std::move(reason), std::move(message));
  return status;
}

}  // namespace forkplane::fork_set
