// The one shape of a reconciler's pass: observe, plan, execute, observe again until the plan is
// empty. Stale is not failure: NotFound, Exists and Conflict from a driver mean that the world
// moved since we looked, so we look again, a bounded number of times.
#pragma once

#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::runtime {

// Looks a pass may take. A pass that changes something needs two (before and after); the rest is
// for a world that moves under it.
inline constexpr int kLooksMax = 4;

constexpr bool IsStale(Code code) {
  return code == Code::kNotFound || code == Code::kExists || code == Code::kConflict;
}

// `observe() -> Result<Observed>`, `plan(const Observed&) -> std::vector<Action>`,
// `execute(const Action&) -> Status` makes exactly one driver call and forgives nothing.
// Returns the observation whose plan was empty: what is reported was seen, not assumed.
// Errors: an action's own, with the action as context; Unavailable when the world did not stand
// still for kLooksMax looks; Cancelled.
template <typename Observed, typename Observe, typename Plan, typename Execute>
Result<Observed> Converge(Observe observe, Plan plan, Execute execute,
                          const std::stop_token& stop) {
  std::string last = "the plan did not become empty";
  for (int look = 0; look < kLooksMax; ++look) {
    Result<Observed> observed = observe();
    if (!observed.ok()) {
      if (!IsStale(observed.error().code)) return observed;
      last = observed.error().message;
      continue;
    }
    const auto actions = plan(*observed);
    if (actions.empty()) return observed;
    for (const auto& action : actions) {
      if (stop.stop_requested()) return Cancelled("stopped between actions");
      Status status = execute(action);
      if (status.ok()) continue;
      Error error = std::move(status).error().WithContext(ToString(action));
      if (!IsStale(error.code)) return error;
      last = std::move(error.message);
      break;
    }
  }
  return Unavailable("the world moved under " + std::to_string(kLooksMax) + " looks: " + last);
}

}  // namespace forkplane::runtime
