#include "crd/quantity.h"

#include <gtest/gtest.h>

namespace forkplane::crd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(QuantityTest, ReadsKubernetesNotation) {
  const std::vector<std::pair<std::string_view, std::int64_t>> table = {
      {"0", 0},
      {"1", 1},
      {"128974848", 128974848},
      {"123Mi", 128974848},
      {"129e6", 129'000'000},
      {"129M", 129'000'000},
      {"1.5Gi", 1610612736},
      {"100m", 1},  // rounded up, as resource.Quantity.Value() does
      {"1500m", 2},
      {"2000m", 2},
      {"0.5Ki", 512},
      {"1E3", 1000},
      {"1e-3", 1},
      {"7Ei", 8070450532247928832},
      {"9223372036854775807", 9223372036854775807},
      {"1n", 1},
      {"0Ei", 0},
      {"+5", 5},
      {"+96Mi", 100663296},
      {".5Gi", 536870912},
      {"0.1Gi", 107374183},
      {"1.", 1},
      {"1.Ki", 1024},
      {"129E6", 129'000'000},
      {"129e+6", 129'000'000},
      {"1E", 1'000'000'000'000'000'000},
      {"1E0", 1},
      {"1u", 1},
      {"1500000u", 2},
      {"2000000000n", 2},
      {"128000k", 128'000'000},
      {"512M", 512'000'000},
      {"000000000000000000000001", 1},
      {"1.0000000000000000000000000", 1},
      {"1.0000000000000000000000001", 2},
      {"100000000000000000000n", 100'000'000'000},
      {"10000000000000000000000000e-9", 10'000'000'000'000'000},
      {"1e-30", 1},
      {"0e1000", 0},
  };
  for (const auto& [text, value] : table) {
    const auto quantity = Quantity::Parse(text);
    ASSERT_TRUE(quantity.ok()) << text;
    EXPECT_EQ(quantity->Value(), value) << text;
    EXPECT_EQ(quantity->Text(), text);
  }
}

TEST(QuantityTest, RefusesWhatKubernetesRefusesAndWhatDoesNotFit) {
  for (const std::string_view text : {"",
                                      " 1",
                                      "1 ",
                                      "Mi",
                                      "1mi",
                                      "1KI",
                                      "1.2.3",
                                      "1e",
                                      "0x10",
                                      "-1",
                                      "8Ei",
                                      "1e30",
                                      "9223372036854775808",
                                      "99999999999999999999999999",
                                      "1Mib",
                                      ".",
                                      "+",
                                      "1e+",
                                      "1e++3",
                                      "1e+-3",
                                      "1e1.5",
                                      "1EE",
                                      "1E3Ki",
                                      "1ki",
                                      "+-1",
                                      "1_000",
                                      "1e99999999999999999999"}) {
    EXPECT_FALSE(Quantity::Parse(text).ok()) << text;
  }
}

TEST(QuantityTest, SaysTheBoundThatIsExceeded) {
  EXPECT_EQ(Quantity::Parse("8Ei").error().message,
            "'8Ei' is more than 9223372036854775807: write that or less");
  EXPECT_EQ(Quantity::Parse("-1").error().message, "'-1' is negative: write zero or more");
}

TEST(QuantityTest, ComparesByValueAndPrintsTheShortestForm) {
  EXPECT_EQ(Quantity::Of("1Gi"), Quantity::Of("1024Mi"));
  EXPECT_LT(Quantity::Of("1G"), Quantity::Of("1Gi"));
  EXPECT_EQ(Quantity::FromBytes(262144).Text(), "256Ki");
  EXPECT_EQ(Quantity::FromBytes(1000).Text(), "1000");
  EXPECT_EQ(Quantity::FromBytes(0).Text(), "0");
  EXPECT_EQ(Quantity::FromDecimal(100'000'000).Text(), "100M");
}

TEST(DurationTest, ReadsGoDurations) {
  EXPECT_EQ(Duration::Of("30s").Value(), seconds(30));
  EXPECT_EQ(Duration::Of("1h30m").Value(), seconds(5400));
  EXPECT_EQ(Duration::Of("1.5s").Value(), milliseconds(1500));
  EXPECT_EQ(Duration::Of("250ms").Value(), milliseconds(250));
  EXPECT_EQ(Duration::Of("0").Value(), seconds(0));
  EXPECT_EQ(Duration::Of("100us").Value(), std::chrono::microseconds(100));
  for (const std::string_view text :
       {"", "30", "s", "-5s", "1d", "1h 5m", "9999999999h", "1.2.3s"}) {
    EXPECT_FALSE(Duration::Parse(text).ok()) << text;
  }
}

// Goal: a deadline made of any duration lies in the future.
TEST(DurationTest, ALongOneIsAHundredYearsAndKeepsItsText) {
  const Duration longest = Duration::Of("2200000h");
  EXPECT_EQ(longest.Text(), "2200000h");
  EXPECT_EQ(longest.Value(), std::chrono::hours(876'000));
  const auto now = std::chrono::system_clock::now();
  EXPECT_GT(now + longest.Value(), now);
  EXPECT_FALSE(Duration::Parse("9999999h").ok()) << "more than 64 bits";
}

TEST(DurationTest, PrintsAsGoDoes) {
  EXPECT_EQ(Duration::From(seconds(30)).Text(), "30s");
  EXPECT_EQ(Duration::From(seconds(90)).Text(), "1m30s");
  EXPECT_EQ(Duration::From(seconds(3600)).Text(), "1h0m0s");
  EXPECT_EQ(Duration::From(milliseconds(250)).Text(), "250ms");
}

}  // namespace
}  // namespace forkplane::crd
