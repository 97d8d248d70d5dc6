#include "reconcilers/fork_set/plan.h"

#include <algorithm>
#include <limits>

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::fork_set {
namespace {

// Highest ordinals first.
void PlanDeletions(const Observed& observed, Plan& plan) {
  for (auto child = observed.children.rbegin(); child != observed.children.rend(); ++child) {
    const bool surplus = child->ordinal >= observed.replicas || child->ordinal < 0;
    if (surplus && !child->terminating) plan.actions.emplace_back(DeleteFork{child->ordinal});
  }
}

// Of the Forks that stay.
void PlanUpdates(const Observed& observed, Plan& plan) {
  for (const Child& child : observed.children) {
    const bool stays =
        child.ordinal >= 0 && child.ordinal < observed.replicas && !child.terminating;
    if (stays && child.outdated) plan.actions.emplace_back(UpdateFork{child.ordinal});
  }
}

std::int64_t Room(const Observed& observed) {
  if (observed.max_concurrent <= 0) return std::numeric_limits<std::int64_t>::max();
  const auto under_way =
      std::count_if(observed.children.begin(), observed.children.end(),
                    [](const Child& child) { return !child.ready && !child.terminating; });
  return observed.max_concurrent - under_way;
}

void PlanCreations(const Observed& observed, Plan& plan) {
  std::int64_t room = Room(observed);
  for (std::int64_t ordinal = 0; ordinal < observed.replicas; ++ordinal) {
    const bool there =
        std::any_of(observed.children.begin(), observed.children.end(),
                    [ordinal](const Child& child) { return child.ordinal == ordinal; });
    if (there) continue;
    if (room-- <= 0) {
      plan.waiting = Waiting::kOthers;
      return;
    }
    plan.actions.emplace_back(CreateFork{ordinal});
  }
}

}  // namespace

std::string_view ToString(Waiting waiting) {
  switch (waiting) {
    case Waiting::kNothing:
      return "nothing";
    case Waiting::kCache:
      return "cache";
    case Waiting::kBlocked:
      return "blocked";
    case Waiting::kSnapshot:
      return "snapshot";
    case Waiting::kOthers:
      return "others";
  }
  CheckFailed("a reason to wait", "out of range");
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::string ToString(const Plan& plan) {
  return runtime::PlanText(plan.actions,
                           plan.waiting == Waiting::kNothing ? "" : ToString(plan.waiting));
}

Plan MakePlan(const Observed& observed) {
  Plan plan;
  if (observed.gone) return plan;
  if (observed.cache_behind) {
    plan.waiting = Waiting::kCache;
    return plan;
  }
  PlanDeletions(observed, plan);
  PlanUpdates(observed, plan);
  if (observed.blocked) {
    plan.waiting = Waiting::kBlocked;
    return plan;
  }
  if (observed.takes_snapshot && !observed.snapshot) plan.actions.emplace_back(CreateSnapshot{});
  if (!observed.snapshot_ready) {
    plan.waiting = Waiting::kSnapshot;
    return plan;
  }
  PlanCreations(observed, plan);
  return plan;
}

}  // namespace forkplane::fork_set
