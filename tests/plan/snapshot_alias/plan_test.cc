// Goal: restored VMs, and only they, have the fact that no alias is needed.
// Method: every case.
#include "reconcilers/snapshot_alias/plan.h"

#include <gtest/gtest.h>

namespace forkplane::snapshot_alias {
namespace {

const runtime::AliasFacts kWanted{kStrategyNone, kConstantPaths};

std::string Planned(bool restored, const std::optional<runtime::AliasFacts>& observed) {
  const std::vector<Action> plan = MakePlan({restored}, observed);
  return plan.empty() ? "" : ToString(plan.front());
}

TEST(SnapshotAliasPlanTest, ARestoredVmGetsItsFactOnce) {
  EXPECT_EQ(Planned(true, std::nullopt), "publish alias none (ConstantPaths)");
  EXPECT_EQ(Planned(true, kWanted), "");
}

TEST(SnapshotAliasPlanTest, AnotherFactIsReplaced) {
  EXPECT_EQ(Planned(true, runtime::AliasFacts{"mount", "Foreign"}),
            "publish alias none (ConstantPaths)");
}

TEST(SnapshotAliasPlanTest, AVmThatIsGoneOrBootsHasNone) {
  EXPECT_EQ(Planned(false, std::nullopt), "");
  EXPECT_EQ(Planned(false, kWanted), "retract alias");
}

}  // namespace
}  // namespace forkplane::snapshot_alias
