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

Observed Of(std::int64_t replicas, std::vector<Child> children = {}) {
  Observed observed;
  observed.snapshot = true;
  observed.snapshot_ready = true;
  observed.replicas = replicas;
  observed.children = std::move(children);
  return observed;
}

std::string Planned(const Observed& observed) { return ToString(MakePlan(observed)); }

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
  Observed observed = Of(2);
  observed.takes_snapshot = true;
  observed.snapshot = false;
  observed.snapshot_ready = false;
  EXPECT_EQ(Planned(observed), "create snapshot; wait: snapshot");
  observed.snapshot = true;
  EXPECT_EQ(Planned(observed), "wait: snapshot");
}

TEST(ForkSetPlanTest, AnEditedTemplateReachesThoseThatStay) {
  EXPECT_EQ(Planned(Of(2, {{0, true, false, true}, {1, true, true, true}, {2, true, false, true}})),
            "delete 2; update 0");
  Observed blocked = Of(1, {{0, true, false, true}});
  blocked.blocked = true;
  EXPECT_EQ(Planned(blocked), "update 0; wait: blocked");
}

TEST(ForkSetPlanTest, AtMostSoManyAreUnderWay) {
  Observed observed = Of(5, {{0, true, false}, {1, false, false}});
  observed.max_concurrent = 2;
  EXPECT_EQ(Planned(observed), "create 2; wait: others");
}

TEST(ForkSetPlanTest, AStaleCacheIsNotActedOn) {
  Observed observed = Of(3);
  observed.cache_behind = true;
  EXPECT_EQ(Planned(observed), "wait: cache");
}

TEST(ForkSetPlanTest, BlockedItOnlyShrinksAndGoneItDoesNothing) {
  Observed observed = Of(1, {{4, true, false}});
  observed.blocked = true;
  EXPECT_EQ(Planned(observed), "delete 4; wait: blocked");
  observed.gone = true;
  EXPECT_EQ(Planned(observed), "");
}

// Creations become Ready and deletions final before the next look.
void Execute(Observed& observed) {
  for (const Action& action : MakePlan(observed).actions) {
    if (const auto* create = std::get_if<CreateFork>(&action)) {
      observed.children.push_back({create->ordinal, true, false});
    } else if (const auto* remove = std::get_if<DeleteFork>(&action)) {
      std::erase_if(observed.children,
                    [&](const Child& child) { return child.ordinal == remove->ordinal; });
    }
  }
  std::sort(observed.children.begin(), observed.children.end(),
            [](const Child& a, const Child& b) { return a.ordinal < b.ordinal; });
}

TEST(ForkSetPlanTest, FromEveryStartItComesToRestAtTheWantedNumber) {
  for (std::int64_t replicas = 0; replicas <= 4; ++replicas) {
    for (std::int64_t bound = 0; bound <= 2; ++bound) {
      for (unsigned have = 0; have < (1U << 6U); ++have) {
        Observed observed = Of(replicas);
        observed.max_concurrent = bound;
        for (unsigned n = 0; n < 6; ++n) {
          if ((have >> n & 1U) != 0) observed.children.push_back({n, true, false});
        }
        for (int pass = 0; pass < 6; ++pass) Execute(observed);
        ASSERT_EQ(Planned(observed), "");
        ASSERT_EQ(observed.children.size(), static_cast<std::size_t>(replicas));
        for (std::int64_t n = 0; n < replicas; ++n) {
          ASSERT_EQ(observed.children[static_cast<std::size_t>(n)].ordinal, n);
        }
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::fork_set
