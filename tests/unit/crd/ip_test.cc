#include "crd/ip.h"

#include <gtest/gtest.h>

#include "crd/network.h"

namespace forkplane::crd {
namespace {

TEST(IpTest, AddressesAreReadStrictly) {
  EXPECT_EQ(Ipv4Address::Parse("10.0.0.1")->bits(), 0x0a000001U);
  EXPECT_EQ(Ipv4Address::Parse("255.255.255.255")->ToString(), "255.255.255.255");
  for (const std::string_view text : {"", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ",
                                      "a.b.c.d", "10.0.0.1.2", "::1", "10..0.1", "10.0.0.-1"}) {
    EXPECT_FALSE(Ipv4Address::Parse(text).ok()) << text;
  }
}

TEST(IpTest, ANetworkMustBeWrittenAsOne) {
  const auto cidr = Ipv4Cidr::Parse("10.20.0.0/16");
  ASSERT_TRUE(cidr.ok());
  EXPECT_EQ(cidr->ToString(), "10.20.0.0/16");
  EXPECT_EQ(cidr->broadcast().ToString(), "10.20.255.255");
  EXPECT_EQ(cidr->netmask().ToString(), "255.255.0.0");
  EXPECT_EQ(cidr->size(), 65536U);
  EXPECT_EQ(cidr->DefaultGateway().ToString(), "10.20.0.1");
  EXPECT_EQ(cidr->InnerAddress().ToString(), "10.20.0.2");
  EXPECT_EQ(Ipv4Cidr::Parse("10.20.0.5/16").error().message,
            "'10.20.0.5/16' has bits set behind its prefix: write 10.20.0.0/16");
  for (const std::string_view text :
       {"10.20.0.0", "10.20.0.0/33", "10.20.0.0/", "/16", "0.0.0.0/-1"}) {
    EXPECT_FALSE(Ipv4Cidr::Parse(text).ok()) << text;
  }
  EXPECT_TRUE(Ipv4Cidr::Parse("0.0.0.0/0")->Contains(*Ipv4Address::Parse("255.1.2.3")));
}

TEST(IpTest, NetworksOverlapWhenOneHoldsTheOther) {
  const auto wide = *Ipv4Cidr::Parse("10.0.0.0/8");
  const auto inside = *Ipv4Cidr::Parse("10.9.0.0/16");
  const auto beside = *Ipv4Cidr::Parse("11.0.0.0/8");
  EXPECT_TRUE(wide.Overlaps(inside));
  EXPECT_TRUE(inside.Overlaps(wide));
  EXPECT_FALSE(wide.Overlaps(beside));
}

TEST(IpTest, MacAddresses) {
  EXPECT_EQ(MacAddress::Parse("02:FC:00:00:01:0a")->ToString(), "02:fc:00:00:01:0a");
  EXPECT_TRUE(MacAddress::Parse("01:00:5e:00:00:01")->IsMulticast());
  for (const std::string_view text :
       {"", "02:fc:00:00:01", "02-fc-00-00-01-0a", "02:fc:00:00:01:0g"}) {
    EXPECT_FALSE(MacAddress::Parse(text).ok()) << text;
  }
}

TEST(IpTest, ReservedAddressesAreNotLeased) {
  NetworkSpec spec;
  spec.cidr = "10.0.0.0/24";
  spec.gateway = "10.0.0.254";
  const auto addresses = NetworkAddresses::Of(spec);
  ASSERT_TRUE(addresses.ok());
  const auto why = [&](std::string_view text) {
    const Status status = addresses->CheckLeasable(*Ipv4Address::Parse(text));
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(why("10.0.0.1"), "");  // the gateway is elsewhere
  EXPECT_EQ(why("10.0.0.0"),
            "10.0.0.0 is the network address of 10.0.0.0/24: choose another address");
  EXPECT_NE(why("10.0.0.255"), "");
  EXPECT_NE(why("10.0.0.254").find("gateway"), std::string::npos);
  EXPECT_NE(why("10.0.0.2").find("inner"), std::string::npos);
  EXPECT_NE(why("10.0.1.5").find("outside 10.0.0.0/24"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::crd
