// Goal: every VirtualMachine comes to a host once and stays there. Method: a table of situations.
#include "reconcilers/scheduler/plan.h"

#include <gtest/gtest.h>

#include <vector>

namespace forkplane::scheduler {
namespace {

struct Row {
  const char* name;
  Observed observed;
  const char* plan;
};

std::vector<Row> Rows() {
  return {
      {"AVmThatNamesNoHostIsBound", {}, "bind to here"},
      {"AlsoOneThatHasItsFinalizerAlready", {.finalizer = true}, "bind to here"},
      {"ABoundOneIsItsHosts", {.bound = "here", .finalizer = true}, ""},
      {"AHostThatIsNotThereIsTold", {.bound = "there"}, "wait: host"},
      {"AHostThatTakesNoMachinesGetsNone", {.closed = true}, "wait: closed"},
      {"ButKeepsWhatIsBoundToIt", {.bound = "here", .finalizer = true, .closed = true}, ""},
      {"AndLetsGoOfWhatItHolds", {.gone = true, .finalizer = true, .closed = true}, "bind to here"},
      {"ARestoredOneWaitsForItsSnapshotsInterfaces",
       {.bound = "here", .awaits_interfaces = true},
       ""},
      {"AndHasThemWritten",
       {.awaits_interfaces = true, .captured = true},
       "bind to here; write interfaces"},
      {"BoundAlreadyToo",
       {.bound = "here", .awaits_interfaces = true, .captured = true},
       "write interfaces"},
      {"ButNotWhenItGoes",
       {.bound = "here", .gone = true, .awaits_interfaces = true, .captured = true},
       ""},
      {"GoneItNeedsNoHost", {.gone = true}, ""},
      {"HeldItNeedsOneThatLetsItGo", {.gone = true, .finalizer = true}, "bind to here"},
      {"GoneAndBoundItIsItsHosts", {.bound = "here", .gone = true, .finalizer = true}, ""},
  };
}

class SchedulerPlan : public testing::TestWithParam<Row> {};

TEST_P(SchedulerPlan, IsAsWritten) {
  EXPECT_EQ(ToString(MakePlan("here", GetParam().observed)), GetParam().plan);
}

INSTANTIATE_TEST_SUITE_P(Table, SchedulerPlan, testing::ValuesIn(Rows()),
                         [](const testing::TestParamInfo<Row>& row) { return row.param.name; });

}  // namespace
}  // namespace forkplane::scheduler
