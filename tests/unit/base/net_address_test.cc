#include "controller/base/net_address.h"

#include <gtest/gtest.h>

namespace forkplane {
namespace {

TEST(NetAddressTest, AnAddressHasOneSpelling) {
  EXPECT_EQ(ParseIpv4("10.0.0.1").value().value, 0x0a000001u);
  EXPECT_EQ(ToString(Ipv4{0xc0a801fe}), "192.168.1.254");
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.-4", "1.2.3.4 ",
                          "1..3.4", "+1.2.3.4"}) {
    EXPECT_EQ(ParseIpv4(bad).error().code, Code::kInvalid) << bad;
  }
}

TEST(NetAddressTest, ABlockMayNotHaveHostBits) {
  const Cidr cidr = ParseCidr("10.1.0.0/16").value();
  EXPECT_TRUE(ParseCidr("0.0.0.0/0").value().Contains(Ipv4{0xff010203}));
  EXPECT_EQ(ToString(cidr), "10.1.0.0/16");
  EXPECT_EQ(ToString(cidr.broadcast()), "10.1.255.255");
  EXPECT_EQ(ToString(cidr.At(2)), "10.1.0.2");
  EXPECT_EQ(ParseCidr("0.0.0.0/0").value().broadcast().value, 0xffffffffu);
  const auto refused = ParseCidr("10.1.2.0/16");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "'10.1.2.0/16' has bits set behind its prefix: write 10.1.0.0/16");
  EXPECT_FALSE(ParseCidr("10.1.0.0").ok());
  EXPECT_FALSE(ParseCidr("10.1.0.0/33").ok());
}

TEST(NetAddressTest, BlocksOverlapWhenOneHoldsTheOther) {
  const Cidr wide = ParseCidr("10.0.0.0/8").value();
  const Cidr narrow = ParseCidr("10.9.0.0/16").value();
  const Cidr other = ParseCidr("10.10.0.0/16").value();
  EXPECT_TRUE(wide.Overlaps(narrow));
  EXPECT_TRUE(narrow.Overlaps(wide));
  EXPECT_FALSE(narrow.Overlaps(other));
}

TEST(NetAddressTest, AMacIsPrintedInLowerCase) {
  EXPECT_EQ(ToString(ParseMac("02:FC:00:00:00:01").value()), "02:fc:00:00:00:01");
  EXPECT_TRUE(ParseMac("01:00:5e:00:00:01").value().IsMulticast());
  for (const char* bad : {"", "02:fc:00:00:00", "02-fc-00-00-00-01", "02:fc:00:00:00:0g"}) {
    EXPECT_FALSE(ParseMac(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace forkplane
