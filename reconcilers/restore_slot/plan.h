// How many VMs of one hypervisor may be restored at the same time: pure.
//
// Invariants (held by tests/plan/restore_slot):
//   Fixpoint  with the wanted total set and nobody who could be granted, there is no action.
//   Fairness  the queue is the ledger's, first come first served; this loop never names who
//             is next.
//   Bound     no granted slot is taken away; a smaller total only grants less.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace forkplane::restore_slot {

struct Desired {
  std::string pool;  // the hypervisor's name
  std::uint32_t total = 0;
};

struct Observed {
  std::uint32_t total = 0;
  std::uint32_t granted = 0;
  std::uint32_t waiting = 0;
};

struct GrantSlots {
  std::string pool;
  std::uint32_t total = 0;
};

using Action = GrantSlots;
std::string ToString(const Action& action);

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed);

}  // namespace forkplane::restore_slot
