#include "reconcilers/snapshot/plan.h"

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::snapshot {
namespace {

Plan PlanEnd(const Desired& desired, const Observed& observed) {
  Plan plan;
  if (desired.pinned) {
    plan.waiting = Waiting::kUsers;
    return plan;
  }
  if (!desired.finalizer) return plan;
  if (observed.held) plan.actions.emplace_back(DropTemplate{});
  if (observed.committed || observed.damaged) plan.actions.emplace_back(RemoveFiles{});
  plan.actions.emplace_back(RemoveFinalizer{});
  return plan;
}

Plan PlanCapture(const Desired& desired, const Observed& observed) {
  Plan plan;
  const auto wait = [&plan](Waiting waiting) {
    plan.waiting = waiting;
    return plan;
  };
  if (observed.given_up) return wait(Waiting::kGivenUp);
  if (!observed.source_ready) return wait(Waiting::kSource);
  if (observed.backoff) return wait(Waiting::kBackoff);
  if (!desired.finalizer) plan.actions.emplace_back(AddFinalizer{});
  plan.actions.emplace_back(Begin{});
  plan.actions.emplace_back(Capture{});
  plan.actions.emplace_back(WriteDown{});
  plan.actions.emplace_back(Commit{});
  if (observed.holds_memory) plan.actions.emplace_back(Keep{});
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

Plan MakePlan(const Desired& desired, const Observed& observed) {
  if (desired.gone) return PlanEnd(desired, observed);
  if (desired.refused) return {{}, Waiting::kRefused};
  if (observed.damaged) return {{}, Waiting::kDamaged};
  if (!observed.committed) return PlanCapture(desired, observed);
  Plan plan;
  if (!desired.finalizer) plan.actions.emplace_back(AddFinalizer{});
  if (observed.holds_memory && !observed.held) plan.actions.emplace_back(LoadTemplate{});
  return plan;
}

}  // namespace forkplane::snapshot
