#include "controller/base/clock.h"

#include <gtest/gtest.h>

namespace forkplane {
namespace {

using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ms;

TEST(ClockTest, TimesAreWrittenAsKubernetesWritesThem) {
  const WallTime time{std::chrono::seconds(1'767'323'045) + 6us};
  EXPECT_EQ(FormatTime(time), "2026-01-02T03:04:05Z");
  EXPECT_EQ(FormatMicroTime(time), "2026-01-02T03:04:05.000006Z");
}

TEST(ClockTest, ATimeBeforeTheEpochRoundsDown) {
  EXPECT_EQ(FormatTime(WallTime(-1ms)), "1969-12-31T23:59:59Z");
  EXPECT_EQ(FormatMicroTime(WallTime(-1us)), "1969-12-31T23:59:59.999999Z");
}

TEST(ManualClockTest, MovesOnlyWhenTold) {
  ManualClock clock;
  const auto monotonic = clock.Now();
  const auto wall = clock.WallNow();
  EXPECT_EQ(clock.Now(), monotonic);
  clock.Advance(5ms);
  EXPECT_EQ(clock.Now() - monotonic, 5ms);
  EXPECT_EQ(clock.WallNow() - wall, 5ms);
}

}  // namespace
}  // namespace forkplane
