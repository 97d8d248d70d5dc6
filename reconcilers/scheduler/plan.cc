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

Plan MakePlan(const std::string& host, const Observed& observed) {
  if (!observed.bound.empty() && observed.bound != host) return {{}, Waiting::kHost};
  Plan plan;
  if (observed.bound.empty()) {
    // A VM without the finalizer is deleted without a host. One that has it needs a host that
    // removes it.
    if (observed.gone && !observed.finalizer) return plan;
    if (observed.closed && !observed.gone) {
      plan.waiting = Waiting::kClosed;
    } else {
      plan.actions.emplace_back(Bind{host});
    }
  }
  if (observed.awaits_interfaces && observed.captured && !observed.gone) {
    plan.actions.emplace_back(WriteInterfaces{});
  }
  return plan;
}

}  // namespace forkplane::scheduler
