#include "reconcilers/restore_slot/plan.h"

#include <fmt/format.h>

namespace forkplane::restore_slot {

std::string ToString(const Action& action) {
  return fmt::format("grant up to {} slots of {}", action.total, action.pool);
}

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed) {
  const bool can_grant = observed.waiting > 0 && observed.granted < desired.total;
  if (observed.total == desired.total && !can_grant) return {};
  return {GrantSlots{desired.pool, desired.total}};
}

}  // namespace forkplane::restore_slot
