#include "reconcilers/fork/plan.h"

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::fork {

std::string_view ToString(Waiting waiting) {
  switch (waiting) {
    case Waiting::kNothing:
      return "nothing";
    case Waiting::kBlocked:
      return "blocked";
    case Waiting::kSnapshot:
      return "snapshot";
    case Waiting::kVm:
      return "vm";
  }
  CheckFailed("a reason to wait", "out of range");
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::string ToString(const Plan& plan) {
  return runtime::PlanText(plan.actions,
                           plan.waiting == Waiting::kNothing ? "" : ToString(plan.waiting));
}

Plan MakePlan(const Observed& observed) {
  if (observed.gone) return {};
  if (observed.expired) return {{DeleteSelf{}}, Waiting::kNothing};
  if (observed.vm_terminating) return {{}, Waiting::kVm};
  if (observed.vm_outdated) return {{UpdateVm{}}, Waiting::kNothing};
  if (observed.vm) return {};
  if (observed.blocked) return {{}, Waiting::kBlocked};
  if (observed.takes_snapshot && !observed.snapshot)
    return {{CreateSnapshot{}}, Waiting::kSnapshot};
  if (!observed.snapshot_ready) return {{}, Waiting::kSnapshot};
  return {{CreateVm{}}, Waiting::kNothing};
}

}  // namespace forkplane::fork
