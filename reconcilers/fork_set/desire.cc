#include "reconcilers/fork_set/desire.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "crd/applied_template.h"
#include "crd/json.h"
#include "crd/well_known.h"

namespace forkplane::fork_set {
namespace {

namespace condition = crd::condition;

const crd::ForkSource& SourceOf(const crd::ForkSet& set) {
  return set.spec.fork_template.spec.source;
}

std::optional<Obstacle> FindObstacle(const Context& context) {
  const crd::ForkSet& set = *context.set;
  const std::string name = SnapshotName(set);
  if (context.observed.takes_snapshot) {
    if (context.snapshot && !context.snapshot->metadata.IsOwnedBy(set.metadata.uid)) {
      return Obstacle{"NameTaken",
                      fmt::format("Snapshot \"{}\" exists and is not of this ForkSet: delete it or "
                                  "name the ForkSet otherwise",
                                  name),
                      true};
    }
    if (!context.snapshot && !context.source_vm) {
      return Obstacle{"SourceNotFound",
                      fmt::format("spec.template.spec.source.name: there is no VirtualMachine "
                                  "\"{}\": create it or name another",
                                  SourceOf(set).name)};
    }
  } else if (!context.snapshot) {
    return Obstacle{"SnapshotNotFound",
                    fmt::format("spec.template.spec.source.name: there is no Snapshot \"{}\": "
                                "create it or name another",
                                name)};
  }
  if (context.snapshot && context.snapshot->status.phase == crd::SnapshotPhase::kFailed) {
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

bool IsReady(const crd::Fork& fork) {
  return !fork.metadata.IsBeingDeleted() &&
         fork.status.observed_generation == fork.metadata.generation &&
         crd::IsTrue(fork.status.conditions, condition::kReady);
}

std::string HashLabelOf(const crd::Fork& fork) {
  const auto label = fork.metadata.labels.find(std::string(crd::kTemplateHashLabel));
  return label == fork.metadata.labels.end() ? "" : label->second;
}

crd::ForkSource WantedSource(const crd::ForkSet& set) {
  return {crd::ForkSourceKind::kSnapshot, SnapshotName(set)};
}

// The Fork has the template, and can follow all of it.
bool IsUpdated(const Context& context, const crd::Fork& fork) {
  return HashLabelOf(fork) == context.template_hash &&
         fork.spec.source == WantedSource(*context.set) &&
         fork.status.observed_generation == fork.metadata.generation &&
         !crd::IsTrue(fork.status.conditions, condition::kNotUpdated);
}

std::vector<std::string> NotUpdated(const Context& context) {
  const crd::ForkSet& set = *context.set;
  std::vector<std::string> fields;
  const std::string field = "spec.template.spec.source";
  const bool other_vm = context.observed.takes_snapshot && context.snapshot &&
                        context.snapshot->metadata.IsOwnedBy(set.metadata.uid) &&
                        context.snapshot->spec.source.virtual_machine_name != SourceOf(set).name;
  if (other_vm) {
    fields.push_back(
        fmt::format("{}.name ({}): the snapshot of the set was taken of \"{}\": make "
                    "a new ForkSet",
                    field, SourceOf(set).name, context.snapshot->spec.source.virtual_machine_name));
  }
  const crd::ForkSource wanted = WantedSource(set);
  const auto differs = std::count_if(context.forks.begin(), context.forks.end(),
                                     [&](const std::shared_ptr<const crd::Fork>& fork) {
                                       return OrdinalOf(set, fork->metadata.name) >= 0 &&
                                              !(fork->spec.source == wanted);
                                     });
  if (differs > 0) {
    fields.push_back(
        fmt::format("{}: {} Forks were made of another one: delete them to have them "
                    "made of this",
                    field, differs));
  }
  for (const auto& fork : context.forks) {
    const crd::Condition* reported =
        crd::FindCondition(fork->status.conditions, condition::kNotUpdated);
    if (reported == nullptr || reported->status != crd::ConditionStatus::kTrue) continue;
    fields.push_back(fmt::format("Fork \"{}\": {}", fork->metadata.name, reported->message));
    break;  // one Fork is enough: all have the same template
  }
  return fields;
}

}  // namespace

// An Invalid refusal is terminal until somebody changes the set.
Obstacle Refused(const Error& error) {
  return {"FailedCreate", error.message, error.code == Code::kInvalid};
}

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
  return fmt::format("{}{}", set.metadata.name, crd::kSourceSuffix);
}

std::string TemplateHash(const crd::ForkSet& set) {
  crd::Fork carrier;
  carrier.metadata.labels = set.spec.fork_template.metadata.labels;
  carrier.metadata.annotations = set.spec.fork_template.metadata.annotations;
  carrier.spec = set.spec.fork_template.spec;
  return crd::TemplateHash(carrier.ToText());
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

void Judge(Context& context) {
  const crd::ForkSet& set = *context.set;
  Observed& observed = context.observed;
  observed.gone = set.metadata.IsBeingDeleted();
  observed.takes_snapshot = SourceOf(set).kind == crd::ForkSourceKind::kVirtualMachine;
  observed.snapshot = context.snapshot != nullptr;
  observed.snapshot_ready =
      context.snapshot && context.snapshot->status.phase == crd::SnapshotPhase::kReady;
  observed.replicas = set.spec.replicas;
  context.template_hash = TemplateHash(set);
  observed.max_concurrent = set.spec.max_concurrent;
  for (const auto& fork : context.forks) {
    const std::int64_t ordinal = OrdinalOf(set, fork->metadata.name);
    if (ordinal < 0) continue;  // adopted by hand: it does not count
    observed.children.push_back({ordinal, IsReady(*fork), fork->metadata.IsBeingDeleted(),
                                 HashLabelOf(*fork) != context.template_hash});
  }
  std::sort(observed.children.begin(), observed.children.end(),
            [](const Child& a, const Child& b) { return a.ordinal < b.ordinal; });
  context.not_updated = NotUpdated(context);
  context.obstacle = FindObstacle(context);
  observed.blocked = context.obstacle.has_value();
}

void UpdateFromTemplate(const crd::ForkSet& set, crd::Fork& fork) {
  crd::AppliedTemplate applied;
  applied.hash = TemplateHash(set);
  crd::ApplyTemplate(set.spec.fork_template.metadata, applied, fork.metadata);
  fork.metadata.labels[std::string(crd::kForkSetLabel)] = set.metadata.name;
  fork.metadata.labels[std::string(crd::kTemplateHashLabel)] = applied.hash;
  const crd::ForkSource source = fork.spec.source;
  fork.spec = set.spec.fork_template.spec;
  fork.spec.source = source;
}

crd::Fork MakeFork(const crd::ForkSet& set, std::int64_t ordinal) {
  crd::Fork fork;
  fork.metadata.name = ForkName(set, ordinal);
  fork.metadata.ns = set.metadata.ns;
  fork.metadata.owner_references = {OwnerOf(set)};
  fork.spec.source = WantedSource(set);
  UpdateFromTemplate(set, fork);
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

namespace {

struct Answer {
  std::string reason;
  std::string message = {};
};

crd::ForkSetStatus Count(const Context& context) {
  const crd::ForkSet& set = *context.set;
  crd::ForkSetStatus status;
  status.observed_generation = set.metadata.generation;
  for (const auto& fork : context.forks) {
    if (OrdinalOf(set, fork->metadata.name) < 0) continue;
    status.replicas += 1;
    if (IsReady(*fork)) status.ready_replicas += 1;
    if (IsUpdated(context, *fork)) status.updated_replicas += 1;
  }
  status.selector = SelectorOf(set).ToString();
  if (context.snapshot) status.snapshot_name = context.snapshot->metadata.name;
  return status;
}

std::string NotUpdatedText(const Context& context) {
  return fmt::format("{}", fmt::join(context.not_updated, "; "));
}

// Why the set is not Ready; nothing: it is.
std::optional<Answer> WhyNotReady(const Context& context, const crd::ForkSetStatus& status) {
  const std::int64_t wanted = context.set->spec.replicas;
  const std::string ready = fmt::format("{} of {} Forks are Ready", status.ready_replicas, wanted);
  const bool scaled = status.replicas == wanted && status.ready_replicas == wanted;
  if (context.observed.gone) return Answer{"Terminating", ready};
  if (context.obstacle)
    return Answer{std::string(context.obstacle->reason), context.obstacle->message};
  if (!scaled && !context.observed.snapshot_ready) {
    return Answer{"SnapshotNotReady", "waiting for the snapshot to be taken"};
  }
  if (!scaled) return Answer{"Scaling", ready};
  if (!context.not_updated.empty()) return Answer{"NotUpdated", NotUpdatedText(context)};
  if (status.updated_replicas == wanted) return std::nullopt;
  return Answer{"Updating", fmt::format("{} of {} Forks have the template as it is",
                                        status.updated_replicas, wanted)};
}

}  // namespace

crd::ForkSetStatus BuildStatus(const Context& context) {
  crd::ForkSetStatus status = Count(context);
  const auto add = [&](std::string_view type, bool yes, const Answer& answer) {
    status.conditions.push_back({std::string(type),
                                 yes ? crd::ConditionStatus::kTrue : crd::ConditionStatus::kFalse,
                                 answer.reason, answer.message, status.observed_generation, ""});
  };
  if (!context.not_updated.empty()) {
    add(condition::kNotUpdated, true, {"FieldsFixed", NotUpdatedText(context)});
  }
  const std::optional<Answer> why = WhyNotReady(context, status);
  if (!why) {
    add(condition::kReady, true,
        {"AllReady", fmt::format("{0} of {0} Forks are Ready", status.ready_replicas)});
    return status;
  }
  const bool stalled =
      (context.obstacle && context.obstacle->terminal) || why->reason == "NotUpdated";
  add(stalled ? condition::kStalled : condition::kReconciling, true, *why);
  add(condition::kReady, false, *why);
  return status;
}

}  // namespace forkplane::fork_set
