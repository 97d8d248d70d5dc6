// Goal: whether the host forwards is answered the same on the fake host and on the kernel.
#include "tests/kernel/drivers_contract/world.h"

namespace forkplane::drivers {
namespace {

const Ipv4Prefix kGateway = *ParsePrefix("10.77.0.1/16");
const Ipv4 kSource = *ParseIpv4("10.77.0.2");

Forwarding Ask(World& world) {
  const auto verdict = world.forwarding->Probe(kBridge, kSource);
  EXPECT_TRUE(verdict.ok()) << MessageOf(verdict);
  if (!verdict.ok()) return Forwarding::kUnknown;
  EXPECT_EQ(verdict->reason.empty(), verdict->forwarding != Forwarding::kUnknown);
  EXPECT_EQ(verdict->suspects.empty(), verdict->forwarding != Forwarding::kBlocked);
  return verdict->forwarding;
}

void MakeBridge(World& world) {
  ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
  ASSERT_OK(world.routes->AddAddress(kBridge, kGateway));
  ASSERT_OK(world.links->SetUp(kBridge, true));
}

TEST_P(DriversContract, OnlyBridgesOfOursAreProbed) {
  OnHost([](World& world) {
    EXPECT_CODE(world.forwarding->Probe(1, kSource), Code::kInvalid);
    EXPECT_CODE(world.forwarding->Probe(kTap, kSource), Code::kInvalid);
    EXPECT_CODE(world.forwarding->Probe(kBridge, kSource), Code::kNotFound);
  });
}

TEST_P(DriversContract, WhatDoesNotReachTheForwardHookIsNotCalledBlocked) {
  OnHost([](World& world) {
    MakeBridge(world);
    world.add_uplink();
    world.drop_forwarding(true);
    EXPECT_EQ(Ask(world), Forwarding::kUnknown) << "forwarding is off";
    ASSERT_OK(world.sysctls->SwitchOn("fkbr0", LinkSwitch::kForwarding));
    EXPECT_EQ(Ask(world), Forwarding::kBlocked);
  });
}

TEST_P(DriversContract, WithoutADefaultRouteNothingIsKnownOfForwarding) {
  OnHost([](World& world) {
    MakeBridge(world);
    ASSERT_OK(world.sysctls->SwitchOn("fkbr0", LinkSwitch::kForwarding));
    EXPECT_EQ(Ask(world), Forwarding::kUnknown);
  });
}

TEST_P(DriversContract, ATableOfAnotherThatDropsIsNamedForAsLongAsItDoes) {
  OnHost([](World& world) {
    MakeBridge(world);
    world.add_uplink();
    ASSERT_OK(world.sysctls->SwitchOn("fkbr0", LinkSwitch::kForwarding));
    EXPECT_EQ(Ask(world), Forwarding::kOpen);
    world.drop_forwarding(true);
    const ForwardingVerdict blocked = {
        Forwarding::kBlocked, "", {{"ip", "filter", "FORWARD", true}}};
    EXPECT_EQ(*world.forwarding->Probe(kBridge, kSource), blocked);
    world.drop_forwarding(false);
    EXPECT_EQ(Ask(world), Forwarding::kOpen);
  });
}

}  // namespace
}  // namespace forkplane::drivers
