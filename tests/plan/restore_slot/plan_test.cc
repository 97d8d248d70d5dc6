// Goal: the ledger is asked to grant exactly when that can change something.
// Method: a small world, every combination, against the rule in words.
#include "reconcilers/restore_slot/plan.h"

#include <gtest/gtest.h>

namespace forkplane::restore_slot {
namespace {

TEST(RestoreSlotPlanTest, SaysWhatItDoes) {
  const std::vector<Action> plan = MakePlan({"simulated", 4}, {2, 2, 1});
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(ToString(plan[0]), "grant up to 4 slots of simulated");
}

TEST(RestoreSlotPlanTest, ASmallerTotalTakesNothingAway) {
  EXPECT_EQ(MakePlan({"p", 1}, {4, 3, 2}).size(), 1U) << "the total is lowered";
  EXPECT_TRUE(MakePlan({"p", 1}, {1, 3, 2}).empty()) << "and then it is waited";
}

TEST(RestoreSlotPlanTest, InEveryWorldItActsOnlyWhenSomethingWouldChange) {
  for (std::uint32_t want = 1; want <= 4; ++want) {
    for (std::uint32_t total = 0; total <= 4; ++total) {
      for (std::uint32_t granted = 0; granted <= 4; ++granted) {
        for (std::uint32_t waiting = 0; waiting <= 2; ++waiting) {
          const bool acts = !MakePlan({"p", want}, {total, granted, waiting}).empty();
          const bool someone_may_go = waiting > 0 && granted < want;
          EXPECT_EQ(acts, total != want || someone_may_go)
              << want << " " << total << " " << granted << " " << waiting;
        }
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::restore_slot
