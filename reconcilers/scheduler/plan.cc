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
  }
  CheckFailed("a reason to wait", "out of range");
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::string ToString(const Plan& plan) {
  return runtime::PlanText(plan.actions,
                           plan.waiting == Waiting::kNothing ? "" : ToString(plan.waiting));
}

Plan MakePlan(const std::string& host, const Sight& sight) {
  if (sight.bound == host) return {};
  if (!sight.bound.empty()) return {{}, Waiting::kHost};
  // Nobody holds it, so it needs no host to go. One that has the finalizer needs a host that lets
  // go.
  if (sight.gone && !sight.finalizer) return {};
  return {{Bind{host}}, Waiting::kNothing};
}

}  // namespace forkplane::scheduler
