// Goal: sizes follow the rate within the bounds that were measured to be safe.
#include "drivers/qdisc_driver.h"

#include <gtest/gtest.h>

namespace forkplane::drivers {
namespace {

TEST(QdiscDriverTest, BurstIsTenMillisecondsButNeverLessThanTwoFrames) {
  EXPECT_EQ(DefaultBurst(6'250'000, 1500), 62'500u);
  EXPECT_EQ(DefaultBurst(1'000, 1500), 3'036u);
  EXPECT_EQ(DefaultBurst(1'000, 9000), 18'036u);
  EXPECT_EQ(DefaultBurst(~std::uint64_t{0}, 1500), 0x7fffffffu);
  EXPECT_EQ(DefaultBurst(1, 1500), 274u) << "what the kernel can keep at a byte a second";
}

TEST(QdiscDriverTest, QueueIsFiftyMillisecondsButNeverLessThan64KiB) {
  EXPECT_EQ(DefaultQueueBytes(1'250'000), 65'536u);
  EXPECT_EQ(DefaultQueueBytes(12'500'000), 625'000u);
}

TEST(QdiscDriverTest, OnlyTheBurstMayDifferByTheKernelsRounding) {
  const Tbf tbf{1'250'000'000, 12'500'000, 65'536};
  Tbf observed = tbf;
  observed.burst_bytes += 80;  // one tick of 64 ns at 10 Gbit/s
  EXPECT_TRUE(Equivalent(tbf, observed));
  observed.burst_bytes += 1000;
  EXPECT_FALSE(Equivalent(tbf, observed));
  observed = tbf;
  observed.rate_bytes_per_second += 1;
  EXPECT_FALSE(Equivalent(tbf, observed));
  observed = tbf;
  observed.limit_bytes -= 1;
  EXPECT_FALSE(Equivalent(tbf, observed));
}

TEST(QdiscDriverTest, AClassIsAnotherWhenAnyOfItsNumbersIs) {
  const HtbClass htb{1, kQuantumBytes, 1'000'000, 2'000'000, 15'000, 20'000, 20'000};
  EXPECT_TRUE(Equivalent(htb, htb));
  for (int field = 0; field < 7; ++field) {
    HtbClass other = htb;
    if (field == 0) other.minor += 1;
    if (field == 1) other.parent_minor += 1;
    if (field == 2) other.rate_bytes_per_second += 1;
    if (field == 3) other.ceil_bytes_per_second += 1;
    if (field == 4) other.burst_bytes += 100;
    if (field == 5) other.ceil_burst_bytes += 100;
    if (field == 6) other.quantum_bytes += 1;
    EXPECT_FALSE(Equivalent(htb, other)) << field;
  }
}

}  // namespace
}  // namespace forkplane::drivers
