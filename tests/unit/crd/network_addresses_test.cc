#include "crd/network.h"

#include <gtest/gtest.h>

namespace forkplane::crd {
namespace {

TEST(NetworkAddressesTest, ReservedAddressesAreNotLeased) {
  NetworkSpec spec;
  spec.cidr = "10.0.0.0/24";
  spec.gateway = "10.0.0.254";
  const auto addresses = NetworkAddresses::Of(spec);
  ASSERT_TRUE(addresses.ok());
  const auto why = [&](std::string_view text) {
    const Status status = addresses->CheckLeasable(*ParseIpv4(text));
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
