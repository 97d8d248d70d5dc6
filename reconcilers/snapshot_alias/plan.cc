#include "reconcilers/snapshot_alias/plan.h"

#include <fmt/format.h>

namespace forkplane::snapshot_alias {

std::string ToString(const Action& action) {
  if (const auto* publish = std::get_if<PublishAlias>(&action)) {
    return fmt::format("publish alias {} ({})", publish->facts.strategy, publish->facts.reason);
  }
  return "retract alias";
}

std::vector<Action> MakePlan(const Desired& desired,
                             const std::optional<runtime::AliasFacts>& observed) {
  if (!desired.restored) {
    return observed ? std::vector<Action>{RetractAlias{}} : std::vector<Action>{};
  }
  const runtime::AliasFacts wanted{kStrategyNone, kConstantPaths};
  if (observed == wanted) return {};
  return {PublishAlias{wanted}};
}

}  // namespace forkplane::snapshot_alias
