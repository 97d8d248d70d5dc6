// Goal: whether the host forwards is answered the same on the fake host and on the kernel.
#include "tests/kernel/drivers_contract/world.h"

namespace forkplane::drivers {
namespace {

const Ipv4Prefix kGateway = *ParsePrefix("10.77.0.1/16");
const Ipv4 kSource = *ParseIpv4("10.77.0.2");

Forwarding Ask(World& world) {
  const auto verdict = world.forwarding->Probe(kBridge, kSource, kOutsideTargets);
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
    EXPECT_CODE(world.forwarding->Probe(1, kSource, kOutsideTargets), Code::kInvalid);
    EXPECT_CODE(world.forwarding->Probe(kTap, kSource, kOutsideTargets), Code::kInvalid);
    EXPECT_CODE(world.forwarding->Probe(kBridge, kSource, kOutsideTargets), Code::kNotFound);
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
    EXPECT_EQ(*world.forwarding->Probe(kBridge, kSource, kOutsideTargets), blocked);
    world.drop_forwarding(false);
    EXPECT_EQ(Ask(world), Forwarding::kOpen);
  });
}

TEST_P(DriversContract, WhatGuestsSendToEachOtherNeedsNoWayOut) {
  OnHost([](World& world) {
    MakeBridge(world);
    ASSERT_OK(world.sysctls->SwitchOn("fkbr0", LinkSwitch::kForwarding));
    const std::vector<Ipv4> guest = {*ParseIpv4("10.77.0.3")};
    EXPECT_EQ(world.forwarding->Probe(kBridge, kSource, guest)->forwarding, Forwarding::kUnknown);
    ASSERT_OK(world.routes->AddHostRoute(kBridge, guest.front()));
    ASSERT_OK(world.routes->AddHostRoute(kBridge, kSource));
    EXPECT_EQ(world.forwarding->Probe(kBridge, kSource, guest)->forwarding, Forwarding::kOpen);
    world.drop_forwarding(true);
    EXPECT_EQ(world.forwarding->Probe(kBridge, kSource, guest)->forwarding, Forwarding::kBlocked);
  });
}

TEST_P(DriversContract, BridgedFramesMeetIpRulesAsTheHostSays) {
  OnHost([](World& world) {
    for (const bool meet : {true, false}) {
      const bool has_module = world.bridged_frames_meet_ip_rules(meet);
      EXPECT_EQ(*world.sysctls->BridgedFramesMeetIpRules(), meet && has_module);
    }
  });
}

}  // namespace
}  // namespace forkplane::drivers
