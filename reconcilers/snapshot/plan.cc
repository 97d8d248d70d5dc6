#include "reconcilers/snapshot/plan.h"

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::snapshot {
namespace {

Plan PlanEnd(const Goal& goal, const Sight& sight) {
  Plan plan;
  if (goal.pinned) {
    plan.waiting = Waiting::kUsers;
    return plan;
  }
  if (!goal.finalizer) return plan;
  if (sight.held) plan.actions.emplace_back(DropTemplate{});
  if (sight.committed || sight.damaged) plan.actions.emplace_back(RemoveFiles{});
  plan.actions.emplace_back(RemoveFinalizer{});
  return plan;
}

Plan PlanCapture(const Goal& goal, const Sight& sight) {
  Plan plan;
  const auto wait = [&plan](Waiting waiting) {
    plan.waiting = waiting;
    return plan;
  };
  if (sight.given_up) return wait(Waiting::kGivenUp);
  if (!sight.source_ready) return wait(Waiting::kSource);
  if (sight.backoff) return wait(Waiting::kBackoff);
  if (!goal.finalizer) plan.actions.emplace_back(AddFinalizer{});
  plan.actions.emplace_back(Begin{});
  plan.actions.emplace_back(Capture{});
  plan.actions.emplace_back(WriteDown{});
  plan.actions.emplace_back(Commit{});
  if (sight.holds_memory) plan.actions.emplace_back(Keep{});
  return plan;
}

}  // namespace

std::string_view ToString(Waiting waiting) {
  switch (waiting) {
    case Waiting::kNothing:
      return "nothing";
    case Waiting::kRefused:
      return "refused";
    case Waiting::kSource:
      return "source";
    case Waiting::kBackoff:
      return "backoff";
    case Waiting::kGivenUp:
      return "given up";
    case Waiting::kDamaged:
      return "damaged";
    case Waiting::kUsers:
      return "users";
  }
  CheckFailed("a reason to wait", "out of range");
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::string ToString(const Plan& plan) {
  return runtime::PlanText(plan.actions,
                           plan.waiting == Waiting::kNothing ? "" : ToString(plan.waiting));
}

Plan MakePlan(const Goal& goal, const Sight& sight) {
  if (goal.gone) return PlanEnd(goal, sight);
  if (goal.refused) return {{}, Waiting::kRefused};
  if (sight.damaged) return {{}, Waiting::kDamaged};
  if (!sight.committed) return PlanCapture(goal, sight);
  Plan plan;
  if (!goal.finalizer) plan.actions.emplace_back(AddFinalizer{});
  if (sight.holds_memory && !sight.held) plan.actions.emplace_back(LoadTemplate{});
  return plan;
}

}  // namespace forkplane::snapshot
