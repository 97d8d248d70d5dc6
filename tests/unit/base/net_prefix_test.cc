// Goal: addresses read and print one way only, and prefixes compare as routes do.
#include "controller/base/net_address.h"

#include <gtest/gtest.h>

namespace forkplane {
namespace {

TEST(NetPrefixTest, WhatIsPrintedCanBeRead) {
  for (const char* text : {"02:fc:00:00:00:01", "ff:ff:ff:ff:ff:ff"}) {
    EXPECT_EQ(ToString(*ParseMac(text)), text);
  }
  for (const char* text : {"0.0.0.0", "10.0.0.1", "255.255.255.255"}) {
    EXPECT_EQ(ToString(*ParseIpv4(text)), text);
  }
  for (const char* text : {"0.0.0.0/0", "10.0.0.1/8", "10.0.0.0/32"}) {
    EXPECT_EQ(ToString(*ParsePrefix(text)), text);
  }
}

TEST(NetPrefixTest, AnythingElseIsInvalid) {
  for (const char* text :
       {"", "02:fc:00:00:00", "02-fc-00-00-00-01", "02:fc:00:00:00:0g", "02:fc:00:00:00:011"}) {
    EXPECT_EQ(ParseMac(text).error().code, Code::kInvalid) << text;
  }
  for (const char* text : {"", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", "::1"}) {
    EXPECT_EQ(ParseIpv4(text).error().code, Code::kInvalid) << text;
  }
  for (const char* text : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1",
                           "10.0.0.0/256", "10.0.0.0/8x", "/8"}) {
    EXPECT_EQ(ParsePrefix(text).error().code, Code::kInvalid) << text;
  }
}

TEST(NetPrefixTest, PrefixesOverlapWhenOneContainsTheOther) {
  const Ipv4Prefix wide = *ParsePrefix("10.0.0.0/8");
  const Ipv4Prefix narrow = *ParsePrefix("10.77.0.1/16");
  const Ipv4Prefix other = *ParsePrefix("11.0.0.0/8");
  const Ipv4Prefix all = *ParsePrefix("0.0.0.0/0");
  EXPECT_TRUE(wide.Overlaps(narrow));
  EXPECT_TRUE(narrow.Overlaps(wide));
  EXPECT_FALSE(other.Overlaps(narrow));
  EXPECT_TRUE(all.Overlaps(other));
  EXPECT_EQ(ToString(narrow.Network()), "10.77.0.0/16");
  EXPECT_TRUE(narrow.Contains(*ParseIpv4("10.77.255.255")));
  EXPECT_FALSE(narrow.Contains(*ParseIpv4("10.78.0.0")));
}

}  // namespace
}  // namespace forkplane
