// Goal: what interfaces are sure of is together never more than the uplink, whatever comes in which
// order, and nobody waits for room that is there. Method: cases written by hand, then a thousand
// random histories against the promises of guarantees.h.
#include "reconcilers/shaping/guarantees.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "controller/base/rng.h"

namespace forkplane::shaping {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kCapacity = 1000;

Guarantees::Share Firm(std::uint32_t number, std::uint64_t rate) {
  return {number, number, rate, 0, true};
}
Guarantees::Share Soft(std::uint32_t number, std::uint64_t rate) {
  return {number, number, rate, 0, false};
}

TEST(GuaranteesTest, TheLastGetsWhatIsLeft) {
  Guarantees guarantees;
  EXPECT_THAT(guarantees.Ask(Firm(1, 800), kCapacity), IsEmpty());
  EXPECT_THAT(guarantees.Ask(Firm(2, 600), kCapacity), IsEmpty());
  EXPECT_EQ(guarantees.Granted(1), 800u);
  EXPECT_EQ(guarantees.Granted(2), 200u);
  EXPECT_THAT(guarantees.Ask(Firm(2, 600), kCapacity), IsEmpty()) << "asking again changes nothing";
  EXPECT_EQ(guarantees.Granted(2), 200u);
  EXPECT_EQ(guarantees.Granted(3), 0u);
}

TEST(GuaranteesTest, RoomThatComesIsTold) {
  Guarantees guarantees;
  guarantees.Ask(Firm(1, 800), kCapacity);
  guarantees.Ask(Firm(2, 600), kCapacity);
  EXPECT_THAT(guarantees.Ask(Firm(1, 700), kCapacity), ElementsAre(2)) << "who asks for less";
  guarantees.Ask(Firm(2, 600), kCapacity);
  EXPECT_EQ(guarantees.Granted(2), 300u);
  EXPECT_THAT(guarantees.Drop(1, 1), ElementsAre(2));
  guarantees.Ask(Firm(2, 600), kCapacity);
  EXPECT_EQ(guarantees.Granted(2), 600u);
  EXPECT_THAT(guarantees.Drop(2, 7), IsEmpty()) << "the number is another lease's";
  EXPECT_EQ(guarantees.Granted(2), 600u);
}

TEST(GuaranteesTest, ARaiseTakesNothingFromOthers) {
  Guarantees guarantees;
  guarantees.Ask(Firm(1, 300), kCapacity);
  guarantees.Ask(Firm(2, 600), kCapacity);
  EXPECT_THAT(guarantees.Ask(Firm(1, 900), kCapacity), IsEmpty());
  EXPECT_EQ(guarantees.Granted(1), 400u);
  EXPECT_EQ(guarantees.Granted(2), 600u);
}

TEST(GuaranteesTest, WhoNamesNoRateGivesWay) {
  Guarantees guarantees;
  guarantees.Ask(Soft(1, 300), kCapacity);
  guarantees.Ask(Soft(2, 300), kCapacity);
  EXPECT_THAT(guarantees.Ask(Firm(3, 600), kCapacity), ElementsAre(2)) << "the newer one";
  EXPECT_EQ(guarantees.Granted(1), 300u);
  EXPECT_EQ(guarantees.Granted(2), 100u);
  EXPECT_EQ(guarantees.Granted(3), 600u);
  EXPECT_THAT(guarantees.Ask(Soft(4, 300), kCapacity), IsEmpty()) << "and takes nothing";
  EXPECT_EQ(guarantees.Granted(4), 0u);
  EXPECT_THAT(guarantees.Drop(3, 3), ElementsAre(2, 4)) << "the older first";
}

TEST(GuaranteesTest, OfASlowerUplinkTheNewestLoseFirst) {
  Guarantees guarantees;
  guarantees.Ask(Firm(1, 300), kCapacity);
  guarantees.Ask(Soft(2, 100), kCapacity);
  guarantees.Ask(Firm(3, 500), kCapacity);
  EXPECT_THAT(guarantees.Ask(Firm(1, 300), 400), ElementsAre(2, 3));
  EXPECT_EQ(guarantees.Granted(1), 300u);
  EXPECT_EQ(guarantees.Granted(2), 0u);
  EXPECT_EQ(guarantees.Granted(3), 100u);
  EXPECT_THAT(guarantees.Ask(Firm(1, 300), kCapacity), ElementsAre(3, 2)) << "firm ones first";
}

TEST(GuaranteesTest, WhatTheKernelHoldsWasGranted) {
  Guarantees guarantees;
  EXPECT_FALSE(guarantees.Knows(0));
  guarantees.Learn(0, {Firm(1, 200), Firm(2, 800)});
  EXPECT_TRUE(guarantees.Knows(0));
  EXPECT_FALSE(guarantees.Knows(1));
  // The first had asked for more than was left when the second was there already.
  EXPECT_THAT(guarantees.Ask(Firm(1, 700), kCapacity), IsEmpty());
  EXPECT_EQ(guarantees.Granted(1), 200u);
  guarantees.Learn(1, {Firm(1, 900)});
  EXPECT_EQ(guarantees.Granted(1), 200u) << "what was asked for already stays as it is";
}

TEST(GuaranteesTest, EverybodyKeepsTheLeast) {
  Guarantees guarantees;
  guarantees.Ask({1, 1, 1000, 10, true}, kCapacity);
  EXPECT_THAT(guarantees.Ask({2, 2, 500, 10, true}, kCapacity), ElementsAre(1));
  EXPECT_EQ(guarantees.Granted(1), 990u);
  EXPECT_EQ(guarantees.Granted(2), 10u);
}

// One history: who asks for what, in any order, on an uplink that changes.
class History {
 public:
  explicit History(std::uint64_t seed) : rng_(seed) {}

  void Step() {
    if (rng_.Below(10) == 0) capacity_ = 200 + rng_.Below(1000);
    const std::uint32_t number = 1 + static_cast<std::uint32_t>(rng_.Below(6));
    std::vector<std::uint32_t> others;
    if (rng_.Below(4) == 0) {
      others = guarantees_.Drop(number, number);
      asked_.erase(number);
    } else {
      asked_[number] = {number, number, 5 + rng_.Below(500), 5, rng_.Below(2) == 0};
      others.push_back(number);
    }
    // Everybody who is told asks again, as the loop does; on a new capacity all do.
    Settle(std::move(others));
    for (const auto& [n, share] : asked_) Settle({n});
  }

  std::string Judge() const {
    std::uint64_t total = 0;
    bool firm_misses = false;
    bool anybody_misses = false;
    bool soft_holds = false;
    for (const auto& [number, share] : asked_) {
      const std::uint64_t granted = guarantees_.Granted(number);
      if (granted < share.least || granted > share.rate) return "granted out of bounds";
      total += granted;
      const bool misses = granted < share.rate;
      anybody_misses = anybody_misses || misses;
      firm_misses = firm_misses || (misses && share.firm);
      soft_holds = soft_holds || (!share.firm && granted > share.least);
    }
    if (total > capacity_) return "oversold";
    if (anybody_misses && total < capacity_) return "somebody waits for room that is there";
    if (firm_misses && soft_holds) return "a soft share stands in the way of a firm one";
    return "";
  }

 private:
  void Settle(std::vector<std::uint32_t> others) {
    for (int round = 0; !others.empty() && round < 1000; ++round) {
      const std::uint32_t number = others.back();
      others.pop_back();
      const auto share = asked_.find(number);
      if (share == asked_.end()) continue;
      const auto more = guarantees_.Ask(share->second, capacity_);
      others.insert(others.end(), more.begin(), more.end());
    }
    EXPECT_THAT(others, IsEmpty()) << "they wake one another for ever";
  }

  SeededRng rng_;
  Guarantees guarantees_;
  std::uint64_t capacity_ = kCapacity;
  std::map<std::uint32_t, Guarantees::Share> asked_;
};

TEST(GuaranteesTest, NoHistoryOversellsOrLeavesRoomUnused) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    History history(seed);
    for (int step = 0; step < 30; ++step) {
      history.Step();
      ASSERT_EQ(history.Judge(), "") << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace forkplane::shaping
