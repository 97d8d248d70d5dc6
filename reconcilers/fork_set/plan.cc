#include "reconcilers/fork_set/plan.h"

#include <algorithm>
#include <limits>

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::fork_set {
namespace {

// Highest ordinals first.
void PlanDeletions(const Sight& sight, Plan& plan) {
  for (auto child = sight.children.rbegin(); child != sight.children.rend(); ++child) {
    const bool surplus = child->ordinal >= sight.replicas || child->ordinal < 0;
    if (surplus && !child->terminating) plan.actions.emplace_back(DeleteFork{child->ordinal});
  }
}

// Of those that stay.
void PlanUpdates(const Sight& sight, Plan& plan) {
  for (const Child& child : sight.children) {
    const bool stays = child.ordinal >= 0 && child.ordinal < sight.replicas && !child.terminating;
    if (stays && child.outdated) plan.actions.emplace_back(UpdateFork{child.ordinal});
  }
}

std::int64_t Room(const Sight& sight) {
  if (sight.max_concurrent <= 0) return std::numeric_limits<std::int64_t>::max();
  const auto under_way =
      std::count_if(sight.children.begin(), sight.children.end(),
                    [](const Child& child) { return !child.ready && !child.terminating; });
  return sight.max_concurrent - under_way;
}

void PlanCreations(const Sight& sight, Plan& plan) {
  std::int64_t room = Room(sight);
  for (std::int64_t ordinal = 0; ordinal < sight.replicas; ++ordinal) {
    const bool there =
        std::any_of(sight.children.begin(), sight.children.end(),
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

Plan MakePlan(const Sight& sight) {
  Plan plan;
  if (sight.gone) return plan;
  if (sight.cache_behind) {
    plan.waiting = Waiting::kCache;
    return plan;
  }
  PlanDeletions(sight, plan);
  PlanUpdates(sight, plan);
  if (sight.blocked) {
    plan.waiting = Waiting::kBlocked;
    return plan;
  }
  if (sight.takes_snapshot && !sight.snapshot) plan.actions.emplace_back(CreateSnapshot{});
  if (!sight.snapshot_ready) {
    plan.waiting = Waiting::kSnapshot;
    return plan;
  }
  PlanCreations(sight, plan);
  return plan;
}

}  // namespace forkplane::fork_set
