// Goal: a ForkSet scales as plan.h says. Method: a table of situations, and a
// simulation that executes plans from every start and must come to rest at the
// wanted number.
#include "reconcilers/fork_set/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace forkplane::fork_set {
namespace {

Sight Of(std::int64_t replicas, std::vector<Child> children = {}) {
  Sight sight;
  sight.snapshot = true;
  sight.snapshot_ready = true;
  sight.replicas = replicas;
  sight.children = std::move(children);
  return sight;
}

std::string Planned(const Sight& sight) { return ToString(MakePlan(sight)); }

TEST(ForkSetPlanTest, MakesFromTheLowestAndTakesFromTheHighest) {
  EXPECT_EQ(Planned(Of(3)), "create 0; create 1; create 2");
  EXPECT_EQ(Planned(Of(3, {{0, true, false}, {2, true, false}})), "create 1");
  EXPECT_EQ(Planned(Of(1, {{0, true, false}, {1, true, false}, {2, true, false}})),
            "delete 2; delete 1");
  EXPECT_EQ(Planned(Of(2, {{0, true, false}, {1, true, false}})), "");
}

TEST(ForkSetPlanTest, ATerminatingForkKeepsItsPlaceUntilItIsGone) {
  EXPECT_EQ(Planned(Of(1, {{0, false, true}})), "");
  EXPECT_EQ(Planned(Of(0, {{0, false, true}})), "");
}

TEST(ForkSetPlanTest, OneSnapshotComesFirst) {
  Sight sight = Of(2);
  sight.takes_snapshot = true;
  sight.snapshot = false;
  sight.snapshot_ready = false;
  EXPECT_EQ(Planned(sight), "create snapshot; wait: snapshot");
  sight.snapshot = true;
  EXPECT_EQ(Planned(sight), "wait: snapshot");
}

TEST(ForkSetPlanTest, AnEditedTemplateReachesThoseThatStay) {
  EXPECT_EQ(Planned(Of(2, {{0, true, false, true}, {1, true, true, true}, {2, true, false, true}})),
            "delete 2; update 0");
  Sight blocked = Of(1, {{0, true, false, true}});
  blocked.blocked = true;
  EXPECT_EQ(Planned(blocked), "update 0; wait: blocked");
}

TEST(ForkSetPlanTest, AtMostSoManyAreUnderWay) {
  Sight sight = Of(5, {{0, true, false}, {1, false, false}});
  sight.max_concurrent = 2;
  EXPECT_EQ(Planned(sight), "create 2; wait: others");
}

TEST(ForkSetPlanTest, AStaleCacheIsNotActedOn) {
  Sight sight = Of(3);
  sight.cache_behind = true;
  EXPECT_EQ(Planned(sight), "wait: cache");
}

TEST(ForkSetPlanTest, BlockedItOnlyShrinksAndGoneItDoesNothing) {
  Sight sight = Of(1, {{4, true, false}});
  sight.blocked = true;
  EXPECT_EQ(Planned(sight), "delete 4; wait: blocked");
  sight.gone = true;
  EXPECT_EQ(Planned(sight), "");
}

// Creations become Ready and deletions final before the next look.
void Execute(Sight& sight) {
  for (const Action& action : MakePlan(sight).actions) {
    if (const auto* create = std::get_if<CreateFork>(&action)) {
      sight.children.push_back({create->ordinal, true, false});
    } else if (const auto* remove = std::get_if<DeleteFork>(&action)) {
      std::erase_if(sight.children,
                    [&](const Child& child) { return child.ordinal == remove->ordinal; });
    }
  }
  std::sort(sight.children.begin(), sight.children.end(),
            [](const Child& a, const Child& b) { return a.ordinal < b.ordinal; });
}

TEST(ForkSetPlanTest, FromEveryStartItComesToRestAtTheWantedNumber) {
  for (std::int64_t replicas = 0; replicas <= 4; ++replicas) {
    for (std::int64_t bound = 0; bound <= 2; ++bound) {
      for (unsigned have = 0; have < (1U << 6U); ++have) {
        Sight sight = Of(replicas);
        sight.max_concurrent = bound;
        for (unsigned n = 0; n < 6; ++n) {
          if ((have >> n & 1U) != 0) sight.children.push_back({n, true, false});
        }
        for (int pass = 0; pass < 6; ++pass) Execute(sight);
        ASSERT_EQ(Planned(sight), "");
        ASSERT_EQ(sight.children.size(), static_cast<std::size_t>(replicas));
        for (std::int64_t n = 0; n < replicas; ++n) {
          ASSERT_EQ(sight.children[static_cast<std::size_t>(n)].ordinal, n);
        }
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::fork_set
