// Goal: every situation of a Snapshot has the plan a person would write down,
// and the invariants of plan.h hold in all of them. Method: a table, and a
// sweep over every combination.
#include "reconcilers/snapshot/plan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace forkplane::snapshot {
namespace {

struct Row {
  const char* name;
  Desired desired;
  Observed observed;
  const char* plan;
};

constexpr Desired kHeld{.finalizer = true};
constexpr Desired kGone{.gone = true, .finalizer = true};

std::vector<Row> Rows() {
  return {
      {"NothingWithoutASource", {}, {}, "wait: source"},
      {"ACaptureFromTheBeginning",
       {},
       {.source_ready = true},
       "add finalizer; begin; capture; write down; commit"},
      {"ItsMemoryIsKeptWhereForksMapIt",
       kHeld,
       {.holds_memory = true, .source_ready = true},
       "begin; capture; write down; commit; keep"},
      {"AFailureWaits", kHeld, {.source_ready = true, .backoff = true}, "wait: backoff"},
      {"TooManyFailuresEndIt", kHeld, {.source_ready = true, .given_up = true}, "wait: given up"},
      {"NotSupportedMakesNothing", {.refused = true}, {.source_ready = true}, "wait: refused"},
      {"DamagedIsNotTakenAgain", kHeld, {.damaged = true, .source_ready = true}, "wait: damaged"},
      {"CommittedIsDone", kHeld, {.committed = true, .source_ready = true}, ""},
      {"HeldIsDone", kHeld, {.committed = true, .holds_memory = true, .held = true}, ""},
      {"ALostTemplateIsLoadedAgain",
       kHeld,
       {.committed = true, .holds_memory = true},
       "load template"},
      {"UsersHoldIt",
       {.gone = true, .finalizer = true, .pinned = true},
       {.committed = true, .held = true},
       "wait: users"},
      {"ItGoesInOrder",
       kGone,
       {.committed = true, .held = true},
       "drop template; remove files; remove finalizer"},
      {"DamagedFilesGoToo", kGone, {.damaged = true}, "remove files; remove finalizer"},
      {"OneThatNeverWasJustGoes", kGone, {}, "remove finalizer"},
      {"WithoutOurFinalizerThereIsNothing", {.gone = true}, {}, ""},
  };
}

class SnapshotPlan : public testing::TestWithParam<Row> {};

TEST_P(SnapshotPlan, IsAsWritten) {
  EXPECT_EQ(ToString(MakePlan(GetParam().desired, GetParam().observed)), GetParam().plan);
}

INSTANTIATE_TEST_SUITE_P(Table, SnapshotPlan, testing::ValuesIn(Rows()),
                         [](const testing::TestParamInfo<Row>& row) { return row.param.name; });

bool Has(const std::string& plan, const char* action) {
  return plan.find(action) != std::string::npos;
}

TEST(SnapshotPlanTest, InvariantsHoldInEveryWorld) {
  for (unsigned bits = 0; bits < (1U << 11U); ++bits) {
    const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
    const Desired desired{bit(0), bit(1), bit(2), bit(3)};
    const Observed observed{bit(4), bit(5), bit(6), bit(7), bit(8), bit(9), bit(10)};
    const std::string plan = ToString(MakePlan(desired, observed));
    if (Has(plan, "capture")) {
      EXPECT_TRUE(observed.source_ready && !observed.committed && !observed.damaged &&
                  !desired.gone)
          << plan;
      EXPECT_TRUE(Has(plan, "begin; capture; write down; commit")) << plan;
    }
    if (Has(plan, "remove") || Has(plan, "drop")) {
      EXPECT_TRUE(desired.gone && !desired.pinned) << plan;
    }
  }
}

}  // namespace
}  // namespace forkplane::snapshot
