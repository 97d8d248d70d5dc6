// Goal: every situation of a Fork has the plan a person would write down.
// Method: a table, and the invariants of plan.h over every combination.
#include "reconcilers/fork/plan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace forkplane::fork {
namespace {

struct Row {
  const char* name;
  Observed observed;
  const char* plan;
};

std::vector<Row> Rows() {
  return {
      {"OfAReadySnapshotItMakesItsVm", {.snapshot = true, .snapshot_ready = true}, "create vm"},
      {"OfAVmItTakesASnapshotFirst", {.takes_snapshot = true}, "create snapshot; wait: snapshot"},
      {"AndWaitsForIt", {.takes_snapshot = true, .snapshot = true}, "wait: snapshot"},
      {"ThenMakesItsVm",
       {.takes_snapshot = true, .snapshot = true, .snapshot_ready = true},
       "create vm"},
      {"WhatIsInTheWayIsWaitedFor",
       {.blocked = true, .snapshot = true, .snapshot_ready = true},
       "wait: blocked"},
      {"WithItsVmItIsDone", {.snapshot = true, .snapshot_ready = true, .vm = true}, ""},
      {"AnEditedTemplateReachesIt",
       {.snapshot = true, .snapshot_ready = true, .vm = true, .vm_outdated = true},
       "update vm"},
      {"AVmThatGoesIsWaitedFor",
       {.snapshot = true, .snapshot_ready = true, .vm = true, .vm_terminating = true},
       "wait: vm"},
      {"OverItsTimeItGoes", {.expired = true, .vm = true}, "delete self"},
      {"GoneItDoesNothing", {.gone = true, .expired = true, .snapshot_ready = true}, ""},
  };
}

class ForkPlan : public testing::TestWithParam<Row> {};

TEST_P(ForkPlan, IsAsWritten) {
  EXPECT_EQ(ToString(MakePlan(GetParam().observed)), GetParam().plan);
}

INSTANTIATE_TEST_SUITE_P(Table, ForkPlan, testing::ValuesIn(Rows()),
                         [](const testing::TestParamInfo<Row>& row) { return row.param.name; });

TEST(ForkPlanTest, InvariantsHoldInEveryWorld) {
  for (unsigned bits = 0; bits < (1U << 9U); ++bits) {
    const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
    const Observed observed{bit(0), bit(1), bit(2), bit(3),          bit(4),
                            bit(5), bit(6), bit(7), bit(6) && bit(8)};
    for (const Action& action : MakePlan(observed).actions) {
      EXPECT_FALSE(observed.gone) << ToString(action);
      if (std::holds_alternative<CreateVm>(action)) {
        EXPECT_TRUE(observed.snapshot_ready && !observed.vm && !observed.blocked &&
                    !observed.expired);
      }
      if (std::holds_alternative<UpdateVm>(action)) {
        EXPECT_TRUE(observed.vm && observed.vm_outdated && !observed.vm_terminating &&
                    !observed.expired);
      }
      if (std::holds_alternative<CreateSnapshot>(action)) {
        EXPECT_TRUE(observed.takes_snapshot && !observed.snapshot && !observed.vm &&
                    !observed.blocked);
      }
      if (std::holds_alternative<DeleteSelf>(action)) {
        EXPECT_TRUE(observed.expired);
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::fork
