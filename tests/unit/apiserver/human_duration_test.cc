#include "controller/apiserver/rest/human_duration.h"

#include <gtest/gtest.h>

namespace forkplane::apiserver {
namespace {

using std::chrono::seconds;

TEST(HumanDuration, PrintsAsKubectlUsersKnowIt) {
  constexpr std::int64_t kMinute = 60, kHour = 3600, kDay = 86400, kYear = 365 * kDay;
  const std::vector<std::pair<std::int64_t, std::string>> rows = {
      {-2, "<invalid>"},
      {-1, "0s"},
      {0, "0s"},
      {119, "119s"},
      {120, "2m"},
      {200, "3m20s"},
      {10 * kMinute, "10m"},
      {10 * kMinute + 5, "10m"},
      {179 * kMinute, "179m"},
      {3 * kHour, "3h"},
      {5 * kHour + 30 * kMinute, "5h30m"},
      {8 * kHour, "8h"},
      {47 * kHour + 59 * kMinute, "47h"},
      {48 * kHour, "2d"},
      {3 * kDay + 4 * kHour, "3d4h"},
      {8 * kDay, "8d"},
      {400 * kDay, "400d"},
      {2 * kYear, "2y"},
      {3 * kYear + 20 * kDay, "3y20d"},
      {9 * kYear + 20 * kDay, "9y"},
  };
  for (const auto& [age, text] : rows) EXPECT_EQ(HumanDuration(seconds(age)), text) << age;
}

TEST(HumanDuration, AgesComeFromTimestamps) {
  const WallTime now = *ParseTime("2026-01-02T03:04:05Z");
  EXPECT_EQ(HumanAge("2026-01-02T03:03:58Z", now), "7s");
  EXPECT_EQ(HumanAge("2026-01-02T03:03:58.250000Z", now), "7s");
  EXPECT_EQ(HumanAge("2026-01-02T04:03:58+01:00", now), "7s");
  EXPECT_EQ(HumanAge("", now), "<unknown>");
  EXPECT_EQ(HumanAge("yesterday", now), "<invalid>");
}

TEST(ParseTime, RefusesWhatIsNoTime) {
  for (const char* text :
       {"2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z",
        "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+1"}) {
    EXPECT_FALSE(ParseTime(text).has_value()) << text;
  }
  EXPECT_EQ(FormatTime(*ParseTime("2024-02-29T23:59:59Z")), "2024-02-29T23:59:59Z");
}

}  // namespace
}  // namespace forkplane::apiserver
