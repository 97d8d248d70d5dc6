#include "reconcilers/scheduler/plan.h"

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::scheduler {

std::string_view ToString(Waiting waiting) {
  switch (waiting) {
    case Waiting::kNothing:
      return "nothing";
    case Waiting::kHost:
      return "host";
    case Waiting::kClosed:
      return "closed";
  }
  CheckFailed("a reason to wait", "out of range");
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::string ToString(const Plan& plan) {
  return runtime::PlanText(plan.actions,
                           plan.waiting == Waiting::kNothing ? "" : ToString(plan.waiting));
}

Plan MakePlan(const std::string& host, const Sight& sight) {
  if (!sight.bound.empty() && sight.bound != host) return {{}, Waiting::kHost};
  Plan plan;
  if (sight.bound.empty()) {
    // Nobody holds it, so it needs no host to go. One that has the finalizer needs a host that lets
    // go.
    if (sight.gone && !sight.finalizer) return plan;
    if (sight.closed && !sight.gone) {
      plan.waiting = Waiting::kClosed;
    } else {
      plan.actions.emplace_back(Bind{host});
    }
  }
  if (sight.awaits_interfaces && sight.captured && !sight.gone) {
    plan.actions.emplace_back(WriteInterfaces{});
  }
  return plan;
}

}  // namespace forkplane::scheduler
