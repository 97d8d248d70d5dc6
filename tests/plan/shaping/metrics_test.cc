// Goal: the lag is counted from the moment a shape was known, once for each shape, and the gauge
// says at any moment how many interfaces are unshaped and why. Method: a clock that is turned by
// hand.
#include "reconcilers/shaping/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forkplane::shaping {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class ShapingMetricsTest : public ::testing::Test {
 protected:
  double Unshaped(std::string_view reason) {
    return registry_
        .AddGauge("forkplane_shaping_unshaped_interfaces", "", {{"reason", std::string(reason)}})
        .Value();
  }
  double AllUnshaped() {
    double all = 0;
    for (const std::string_view reason : kUnshapedReasons) all += Unshaped(reason);
    return all;
  }
  // "count sum", the sum in seconds.
  std::string Lag() {
    const std::string text = registry_.Serialize();
    const auto value = [&text](const std::string& name) {
      const auto at = text.find("\n" + name + " ") + name.size() + 2;
      return text.substr(at, text.find('\n', at) - at);
    };
    return value("forkplane_shaping_lag_seconds_count") + " " +
           value("forkplane_shaping_lag_seconds_sum");
  }
  static Rates RatesOf(std::uint64_t up) {
    Rates rates;
    rates.htb.rate_bytes_per_second = up;
    return rates;
  }
  void Saw(ledger::LeaseId lease, std::uint64_t up, std::string_view shortfall = "") {
    metrics_.Saw(lease, RatesOf(up), shortfall, clock_.Now());
  }

  ManualClock clock_;
  metrics::Registry registry_;
  Metrics metrics_{&registry_, clock_};
};

TEST_F(ShapingMetricsTest, ANewLeaseIsPendingThenWaitsThenIsShaped) {
  metrics_.Learn(1);
  EXPECT_EQ(Unshaped("Pending"), 1);
  clock_.Advance(milliseconds(100));
  Saw(1, 10, "WaitingForTap");
  EXPECT_EQ(Unshaped("Pending"), 0);
  EXPECT_EQ(Unshaped("WaitingForTap"), 1);
  EXPECT_EQ(Lag(), "0 0");
  clock_.Advance(milliseconds(150));
  Saw(1, 10);
  EXPECT_EQ(AllUnshaped(), 0);
  EXPECT_EQ(Lag(), "1 0.25");
  EXPECT_THAT(registry_.Serialize(),
              HasSubstr("forkplane_shaping_lag_seconds_bucket{le=\"0.25\"} 1"));
}

TEST_F(ShapingMetricsTest, NewsThatChangeNoRateAreNoLag) {
  metrics_.Learn(1);
  Saw(1, 10);
  metrics_.Learn(1);
  clock_.Advance(milliseconds(500));
  Saw(1, 10);
  EXPECT_EQ(Lag(), "1 0");
  EXPECT_EQ(AllUnshaped(), 0);
}

TEST_F(ShapingMetricsTest, OfSeveralWishesThatWereNeverMetTheFirstCounts) {
  Saw(1, 10);
  metrics_.Learn(1);
  clock_.Advance(milliseconds(500));
  metrics_.Learn(1);
  clock_.Advance(milliseconds(500));
  Saw(1, 30);
  EXPECT_EQ(Lag(), "1 1");
}

// The look may have read the spec before it changed.
TEST_F(ShapingMetricsTest, ALookThatBeganBeforeTheNewsDoesNotAnswerThem) {
  Saw(1, 10);
  const MonotonicTime looked = clock_.Now();
  clock_.Advance(milliseconds(1));
  metrics_.Learn(1);
  metrics_.Saw(1, RatesOf(10), "", looked);
  EXPECT_EQ(Unshaped("Pending"), 1);
  clock_.Advance(milliseconds(500));
  Saw(1, 20);
  EXPECT_EQ(Lag(), "1 0.5");
}

TEST_F(ShapingMetricsTest, WhatOthersBrokeIsUnshapedAndNoLag) {
  Saw(1, 10);
  Saw(1, 10, "ClassDiffers");
  EXPECT_EQ(Unshaped("ClassDiffers"), 1);
  metrics_.Failed(1);
  EXPECT_EQ(Unshaped("ClassDiffers"), 0);
  EXPECT_EQ(Unshaped("Retrying"), 1);
  Saw(1, 10);
  EXPECT_EQ(AllUnshaped(), 0);
  EXPECT_EQ(Lag(), "0 0");
}

TEST_F(ShapingMetricsTest, AReleasedLeaseIsNotCounted) {
  metrics_.Learn(1);
  metrics_.Learn(2);
  metrics_.Forget(1);
  metrics_.Forget(1);
  EXPECT_EQ(AllUnshaped(), 1);
}

}  // namespace
}  // namespace forkplane::shaping
