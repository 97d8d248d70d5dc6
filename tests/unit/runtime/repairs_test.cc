// Goal: an action is a repair when what it makes stood before and is still wished, and only then.
#include "controller/runtime/repairs.h"

#include <gtest/gtest.h>

namespace forkplane::runtime {
namespace {

class RepairsTest : public ::testing::Test {
 protected:
  double Count(const std::string& part) {
    return registry_
        .AddCounter("forkplane_network_repairs_total", "", {{"loop", "tap"}, {"part", part}})
        .Value();
  }

  metrics::Registry registry_;
  Repairs<std::string, int> repairs_{&registry_, "tap", {"route", "tbf"}};
};

TEST_F(RepairsTest, WhatIsMadeForTheFirstTimeIsNone) {
  repairs_.Want("a", 1);
  repairs_.Did("a", "route");
  EXPECT_EQ(Count("route"), 0);
}

TEST_F(RepairsTest, WhatStoodAndIsStillWishedIsOne) {
  repairs_.Saw("a", 1);
  repairs_.Want("a", 1);
  repairs_.Did("a", "route");
  repairs_.Did("b", "route");
  repairs_.Did("a", "");
  EXPECT_EQ(Count("route"), 1);
  EXPECT_EQ(Count("tbf"), 0);
}

TEST_F(RepairsTest, AnotherWishIsNoneUntilItStood) {
  repairs_.Saw("a", 1);
  repairs_.Want("a", 2);
  repairs_.Did("a", "route");
  repairs_.Want("a", 1);  // back, and the other one never stood
  repairs_.Did("a", "route");
  EXPECT_EQ(Count("route"), 0);
  repairs_.Saw("a", 1);
  repairs_.Want("a", 1);
  repairs_.Did("a", "route");
  EXPECT_EQ(Count("route"), 1);
}

TEST_F(RepairsTest, AttemptsOfOneRepairAreOne) {
  repairs_.Saw("a", 1);
  repairs_.Did("a", "tbf");
  repairs_.Did("a", "tbf");
  EXPECT_EQ(Count("tbf"), 1);
  repairs_.Saw("a", 1);
  repairs_.Did("a", "tbf");
  EXPECT_EQ(Count("tbf"), 2);
}

TEST_F(RepairsTest, WhatTheLoopTookAwayItselfIsNone) {
  repairs_.Saw("a", 1);
  repairs_.Forget("a");
  repairs_.Did("a", "tbf");
  EXPECT_EQ(Count("tbf"), 0);
}

TEST_F(RepairsTest, EveryPartIsThereFromTheStart) {
  EXPECT_NE(
      registry_.Serialize().find("forkplane_network_repairs_total{loop=\"tap\",part=\"route\"} 0"),
      std::string::npos);
}

}  // namespace
}  // namespace forkplane::runtime
