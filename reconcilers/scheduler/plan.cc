#include "reconcilers/scheduler/plan.h"

#include <fmt/format.h>

#include "controller/base/check.h"

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

std::string ToString(const Action& action) {
  return fmt::format("bind to {}", std::get<Bind>(action).host);
}

std::string ToString(const Plan& plan) {
  std::string text;
  for (const Action& action : plan.actions) text += ToString(action);
  if (plan.waiting != Waiting::kNothing) text += fmt::format("wait: {}", ToString(plan.waiting));
  return text;
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
