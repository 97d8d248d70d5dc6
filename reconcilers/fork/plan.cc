#include "reconcilers/fork/plan.h"

#include <fmt/format.h>

#include "controller/base/check.h"

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

std::string ToString(const Action& action) {
  if (std::holds_alternative<CreateSnapshot>(action)) return "create snapshot";
  return std::holds_alternative<CreateVm>(action) ? "create vm" : "delete self";
}

std::string ToString(const Plan& plan) {
  std::string text;
  for (const Action& action : plan.actions) {
    if (!text.empty()) text += "; ";
    text += ToString(action);
  }
  if (plan.waiting != Waiting::kNothing) {
    if (!text.empty()) text += "; ";
    text += fmt::format("wait: {}", ToString(plan.waiting));
  }
  return text;
}

Plan MakePlan(const Sight& sight) {
  if (sight.gone) return {};
  if (sight.expired) return {{DeleteSelf{}}, Waiting::kNothing};
  if (sight.vm_terminating) return {{}, Waiting::kVm};
  if (sight.vm) return {};
  if (sight.blocked) return {{}, Waiting::kBlocked};
  if (sight.takes_snapshot && !sight.snapshot) return {{CreateSnapshot{}}, Waiting::kSnapshot};
  if (!sight.snapshot_ready) return {{}, Waiting::kSnapshot};
  return {{CreateVm{}}, Waiting::kNothing};
}

}  // namespace forkplane::fork
