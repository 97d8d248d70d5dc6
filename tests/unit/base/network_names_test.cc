// Goal: the names other rooms, people and running hosts rely on never change by accident.

#include "controller/base/network_names.h"

#include <gtest/gtest.h>

namespace forkplane {
namespace {

TEST(NetworkNamesTest, EverythingFollowsFromTheLeasedNumber) {
  const std::uint32_t number = MakeNumber(0x50, 0x1234);
  EXPECT_EQ(TapIndex(number), 0x46501234u);
  EXPECT_EQ(TapName(number), "fk46501234");
  EXPECT_EQ(ClassHandle(number), 0x7f001234u);
  EXPECT_EQ(IfbIndex(IfbOf(number)), 0x47000050u);
  EXPECT_EQ(ToString(OuterMac(number)), "02:fb:00:50:12:34");
  EXPECT_EQ(NumberOfTap(TapIndex(number)), number);
}

TEST(NetworkNamesTest, NamesFitTheKernelsLimitAtTheLargestNumber) {
  constexpr std::size_t kNameMax = 15;  // IFNAMSIZ - 1
  EXPECT_EQ(TapName(MakeNumber(kIfbMax, kMinorMax)), "fk46fffffc");
  EXPECT_LE(TapName(MakeNumber(kIfbMax, kMinorMax)).size(), kNameMax);
  EXPECT_LE(IfbName(kIfbMax).size(), kNameMax);
  EXPECT_LE(BridgeName(kBridgeMax).size(), kNameMax);
}

TEST(NetworkNamesTest, ReservedRangesDoNotOverlap) {
  EXPECT_TRUE(IsTapIndex(TapIndex(MakeNumber(kIfbMax, kMinorMax))));
  EXPECT_FALSE(IsIfbIndex(TapIndex(MakeNumber(kIfbMax, kMinorMax))));
  EXPECT_TRUE(IsIfbIndex(IfbIndex(kIfbMax)));
  EXPECT_TRUE(IsBridgeIndex(BridgeIndex(kBridgeMax)));
  EXPECT_FALSE(IsOwnedIndex(1));
  EXPECT_FALSE(IsOwnedIndex(0x49000000));
}

TEST(NetworkNamesTest, TheKernelsAndOurOwnMinorsAreNotLeased) {
  EXPECT_FALSE(IsInterfaceNumber(MakeNumber(0, 0)));
  EXPECT_TRUE(IsInterfaceNumber(MakeNumber(0, 1)));
  EXPECT_TRUE(IsInterfaceNumber(MakeNumber(255, 0xfffc)));
  EXPECT_FALSE(IsInterfaceNumber(MakeNumber(0, kRootClassMinor)));
  EXPECT_FALSE(IsInterfaceNumber(MakeNumber(0, kDefaultClassMinor)));
  EXPECT_FALSE(IsInterfaceNumber(0x01000001));
}

TEST(NetworkNamesTest, ConstantAddressesAreTheFirstTwoHostsOfTheCidr) {
  const Cidr cidr = *ParseCidr("10.77.0.0/16");
  EXPECT_EQ(ToString(DefaultGateway(cidr)), "10.77.0.1");
  EXPECT_EQ(ToString(InnerAddress(cidr)), "10.77.0.2");
  EXPECT_EQ(ToString(InnerMac(3)), "02:fc:00:00:01:03");
  EXPECT_EQ(ToString(kGatewayMac), "02:fc:00:00:00:01");
}

}  // namespace
}  // namespace forkplane
