// Goal: every VirtualMachine comes to a host once and stays there. Method: a table of situations.
#include "reconcilers/scheduler/plan.h"

#include <gtest/gtest.h>

#include <vector>

namespace forkplane::scheduler {
namespace {

struct Row {
  const char* name;
  Sight sight;
  const char* plan;
};

std::vector<Row> Rows() {
  return {
      {"AVmThatNamesNoHostIsBound", {}, "bind to here"},
      {"AlsoOneThatHasItsFinalizerAlready", {.finalizer = true}, "bind to here"},
      {"ABoundOneIsItsHosts", {.bound = "here", .finalizer = true}, ""},
      {"AHostThatIsNotThereIsTold", {.bound = "there"}, "wait: host"},
      {"GoneItNeedsNoHost", {.gone = true}, ""},
      {"HeldItNeedsOneThatLetsItGo", {.gone = true, .finalizer = true}, "bind to here"},
      {"GoneAndBoundItIsItsHosts", {.bound = "here", .gone = true, .finalizer = true}, ""},
  };
}

class SchedulerPlan : public testing::TestWithParam<Row> {};

TEST_P(SchedulerPlan, IsAsWritten) {
  EXPECT_EQ(ToString(MakePlan("here", GetParam().sight)), GetParam().plan);
}

INSTANTIATE_TEST_SUITE_P(Table, SchedulerPlan, testing::ValuesIn(Rows()),
                         [](const testing::TestParamInfo<Row>& row) { return row.param.name; });

}  // namespace
}  // namespace forkplane::scheduler
