// Goal: links and TAPs behave the same, to the error code, on the fake host and on the kernel.
#include "tests/kernel/drivers_contract/world.h"

namespace forkplane::drivers {
namespace {

TEST_P(DriversContract, ABridgeHasTheIndexNameMacAliasAndMtuItWasAskedFor) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateBridge({3, kGatewayMac, "network-uid", 1400}));
    const auto link = world.links->Observe(BridgeIndex(3));
    ASSERT_TRUE(link.ok() && link->has_value());
    EXPECT_EQ((*link)->name, "fkbr3");
    EXPECT_EQ((*link)->index, 0x48000003u);
    EXPECT_EQ((*link)->kind, LinkKind::kBridge);
    EXPECT_EQ((*link)->mac, kGatewayMac);
    EXPECT_EQ((*link)->alias, "network-uid");
    EXPECT_EQ((*link)->mtu, 1400u);
    EXPECT_FALSE((*link)->up);
    EXPECT_EQ(world.links->ObserveByName("fkbr3")->value(), **link);
    EXPECT_CODE(world.links->CreateBridge({3, kGatewayMac, "other", 1500}), Code::kExists);
    EXPECT_EQ(world.links->Observe(BridgeIndex(3))->value().alias, "network-uid");
  });
}

TEST_P(DriversContract, AnIfbIsDownAndHasAQueue) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateIfb({0, "host-uid"}));
    const Link link = world.links->Observe(kIfb)->value();
    EXPECT_EQ(link.name, "fkifb0");
    EXPECT_EQ(link.kind, LinkKind::kIfb);
    EXPECT_EQ(link.queue_length, kIfbQueueLength);
    EXPECT_EQ(link.alias, "host-uid");
    EXPECT_FALSE(link.up);
    EXPECT_CODE(world.links->CreateIfb({0, ""}), Code::kExists);
    EXPECT_OK(world.links->SetUp(kIfb, true));
    EXPECT_TRUE(world.links->Observe(kIfb)->value().up);
  });
}

TEST_P(DriversContract, OnlyOurLinksAreListedAndInOrder) {
  OnHost([](World& world) {
    EXPECT_EQ(world.links->ListOwned()->size(), 0u);
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    const auto links = *world.links->ListOwned();
    ASSERT_EQ(links.size(), 3u);
    EXPECT_EQ(links[0].index, kTap);
    EXPECT_EQ(links[1].index, kIfb);
    EXPECT_EQ(links[2].index, kBridge);
    EXPECT_TRUE(world.links->ObserveByName("lo")->has_value());
  });
}

TEST_P(DriversContract, ForeignLinksCannotBeChanged) {
  OnHost([](World& world) {
    EXPECT_CODE(world.links->SetUp(1, false), Code::kInvalid);
    EXPECT_CODE(world.links->Delete(1), Code::kInvalid);
    EXPECT_CODE(world.links->SetMaster(1, 0), Code::kInvalid);
    EXPECT_CODE(world.qdiscs->AddTbf(1, {1000, 4000, 4000}), Code::kInvalid);
    EXPECT_CODE(world.qdiscs->DeleteRoot(1), Code::kInvalid);
    EXPECT_CODE(world.routes->AddHostRoute(1, {1}), Code::kInvalid);
    EXPECT_CODE(world.identity->Attach(1, Direction::kIngress), Code::kInvalid);
    EXPECT_CODE(world.sysctls->DisableIpv6("lo"), Code::kInvalid);
  });
}

TEST_P(DriversContract, CallsOnAMissingLinkSayNotFound) {
  OnHost([](World& world) {
    EXPECT_FALSE(world.links->Observe(kMissing)->has_value());
    EXPECT_FALSE(world.links->ObserveByName("fkbr9")->has_value());
    EXPECT_CODE(world.links->SetUp(kMissing, true), Code::kNotFound);
    EXPECT_CODE(world.links->SetMac(kMissing, kGatewayMac), Code::kNotFound);
    EXPECT_CODE(world.links->SetMtu(kMissing, 1500), Code::kNotFound);
    EXPECT_CODE(world.links->SetAlias(kMissing, "x"), Code::kNotFound);
    EXPECT_CODE(world.links->SetName(kMissing, "x"), Code::kNotFound);
    EXPECT_CODE(world.links->SetMaster(kMissing, 0), Code::kNotFound);
    EXPECT_CODE(world.links->SetPortUp(kMissing, true), Code::kNotFound);
    EXPECT_CODE(world.links->Delete(kMissing), Code::kNotFound);
    EXPECT_CODE(world.taps->Delete(NumberOfTap(kMissing)), Code::kNotFound);
    EXPECT_CODE(world.taps->Dup(NumberOfTap(kMissing)), Code::kNotFound);
  });
}

TEST_P(DriversContract, ATapKeepsItsFileUntilItIsDeleted) {
  OnHost([](World& world) {
    EXPECT_EQ(*world.taps->ObserveFile(kNumber), TapFile::kNone);
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    const Link link = world.links->Observe(kTap)->value();
    EXPECT_EQ(link.name, "fk46000001");
    EXPECT_EQ(link.kind, LinkKind::kTap);
    EXPECT_EQ(link.alias, "uid-of-owner");
    EXPECT_FALSE(link.up);
    EXPECT_EQ(link.master, 0u);
    EXPECT_EQ(*world.taps->ObserveFile(kNumber), TapFile::kAttached);
    EXPECT_TRUE(world.taps->Dup(kNumber)->valid());
    EXPECT_CODE(world.taps->Create(SpecOf(kNumber)), Code::kExists);
    EXPECT_EQ(*world.taps->ObserveFile(kNumber), TapFile::kAttached);
    EXPECT_OK(world.taps->Delete(kNumber));
    EXPECT_FALSE(world.links->Observe(kTap)->has_value());
    EXPECT_EQ(*world.taps->ObserveFile(kNumber), TapFile::kNone);
    EXPECT_CODE(world.taps->Delete(kNumber), Code::kNotFound);
    EXPECT_OK(world.taps->Create(SpecOf(kNumber)));
  });
}

TEST_P(DriversContract, NumbersOutOfRangeAreRefused) {
  OnHost([](World& world) {
    EXPECT_CODE(world.taps->Create(SpecOf(MakeNumber(0, 0))), Code::kInvalid);
    EXPECT_CODE(world.taps->Create(SpecOf(MakeNumber(0, kDefaultClassMinor))), Code::kInvalid);
    EXPECT_CODE(world.taps->Create(SpecOf(0x01000001)), Code::kInvalid);
    EXPECT_CODE(world.links->CreateIfb({kIfbMax + 1, ""}), Code::kInvalid);
    EXPECT_CODE(world.links->CreateBridge({kBridgeMax + 1, kGatewayMac, "", 1500}), Code::kInvalid);
  });
}

TEST_P(DriversContract, ATapDeletedByAnotherIsReattachedBehindTheKeptFile) {
  OnHost([](World& world) {
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_CODE(world.taps->Reattach(SpecOf(kNumber), 0), Code::kExists);
    ASSERT_OK(world.links->Delete(kTap));
    EXPECT_EQ(*world.taps->ObserveFile(kNumber), TapFile::kDetached);
    EXPECT_OK(world.taps->Reattach(SpecOf(kNumber), 0));
    EXPECT_EQ(*world.taps->ObserveFile(kNumber), TapFile::kAttached);
    const Link link = world.links->Observe(kTap)->value();
    EXPECT_EQ(link.alias, "uid-of-owner");
    EXPECT_FALSE(link.up);
  });
}

TEST_P(DriversContract, ForgettingTheLastFileRemovesTheTap) {
  OnHost([](World& world) {
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_OK(world.taps->Forget(kNumber));
    EXPECT_OK(world.taps->Forget(kNumber));
    EXPECT_FALSE(world.links->Observe(kTap)->has_value());
    EXPECT_CODE(world.taps->Reattach(SpecOf(kNumber), 0), Code::kNotFound);
  });
}

TEST_P(DriversContract, APortIsUpOnlyWithItsIsolation) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_CODE(world.links->SetPortUp(kTap, true), Code::kConflict);
    EXPECT_FALSE(world.links->Observe(kTap)->value().up);
    EXPECT_CODE(world.links->SetMaster(kTap, BridgeIndex(9)), Code::kNotFound);
    EXPECT_OK(world.links->SetMaster(kTap, kBridge));
    EXPECT_OK(world.links->SetPortUp(kTap, true));
    Link link = world.links->Observe(kTap)->value();
    EXPECT_TRUE(link.up && link.isolated);
    EXPECT_EQ(link.master, kBridge);
    EXPECT_OK(world.links->SetPortIsolation(kTap, false));
    link = world.links->Observe(kTap)->value();
    EXPECT_TRUE(link.up && !link.isolated);
    EXPECT_OK(world.links->SetMaster(kTap, 0));
    EXPECT_EQ(world.links->Observe(kTap)->value().master, 0u);
  });
}

TEST_P(DriversContract, ABridgeKeepsItsMacWhilePortsComeAndGo) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    for (std::uint32_t minor = 1; minor <= 4; ++minor) {
      ASSERT_OK(world.taps->Create(SpecOf(MakeNumber(0, minor))));
      ASSERT_OK(world.links->SetMaster(TapIndex(MakeNumber(0, minor)), kBridge));
      EXPECT_EQ(world.links->Observe(kBridge)->value().mac, kGatewayMac);
    }
    ASSERT_OK(world.links->Delete(TapIndex(MakeNumber(0, 1))));
    EXPECT_EQ(world.links->Observe(kBridge)->value().mac, kGatewayMac);
  });
}

TEST_P(DriversContract, DeletingABridgeFreesItsPorts) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    ASSERT_OK(world.links->SetMaster(kTap, kBridge));
    ASSERT_OK(world.links->SetPortUp(kTap, true));
    EXPECT_OK(world.links->Delete(kBridge));
    const Link link = world.links->Observe(kTap)->value();
    EXPECT_EQ(link.master, 0u);
    EXPECT_FALSE(link.isolated);
  });
}

TEST_P(DriversContract, MacMtuAndAliasCanBeMended) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    EXPECT_OK(world.links->SetMac(kBridge, OuterMac(7)));
    EXPECT_OK(world.links->SetMtu(kBridge, 1300));
    EXPECT_OK(world.links->SetAlias(kBridge, "new"));
    const Link link = world.links->Observe(kBridge)->value();
    EXPECT_EQ(link.mac, OuterMac(7));
    EXPECT_EQ(link.mtu, 1300u);
    EXPECT_EQ(link.alias, "new");
    EXPECT_CODE(world.links->SetAlias(kBridge, std::string(256, 'x')), Code::kInvalid);
  });
}

TEST_P(DriversContract, ANameIsGivenBackUnlessItIsTaken) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    EXPECT_CODE(world.links->SetName(kBridge, IfbName(0)), Code::kExists);
    EXPECT_CODE(world.links->SetName(kBridge, ""), Code::kInvalid);
    EXPECT_CODE(world.links->SetName(kBridge, std::string(16, 'x')), Code::kInvalid);
    EXPECT_CODE(world.links->SetName(1, "x"), Code::kInvalid);
    ASSERT_OK(world.links->SetName(kBridge, "mine0"));
    EXPECT_EQ(world.links->Observe(kBridge)->value().name, "mine0");
    ASSERT_OK(world.links->SetName(kBridge, BridgeName(0)));
    EXPECT_EQ(world.links->ObserveByName(BridgeName(0))->value().index, kBridge);
  });
}

TEST_P(DriversContract, Ipv6IsSwitchedOffPerLink) {
  OnHost([](World& world) {
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_OK(world.sysctls->DisableIpv6(TapName(kNumber)));
    EXPECT_TRUE(*world.sysctls->Ipv6Disabled(TapName(kNumber)));
    EXPECT_CODE(world.sysctls->DisableIpv6(BridgeName(9)), Code::kNotFound);
    EXPECT_CODE(world.sysctls->Ipv6Disabled(BridgeName(9)), Code::kNotFound);
  });
}

TEST_P(DriversContract, LinksOfOthersForwardOrDoNot) {
  OnHost([](World& world) {
    EXPECT_FALSE(*world.sysctls->Ipv4Forwarding());
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_TRUE(world.sysctls->ForeignForwarding()->empty()) << "ours and the loopback are none";
    world.add_uplink();
    EXPECT_FALSE(world.sysctls->ForeignForwarding()->at("up0"));
    EXPECT_OK(world.sysctls->SetForeignForwarding("up0", true));
    EXPECT_TRUE(world.sysctls->ForeignForwarding()->at("up0"));
    EXPECT_FALSE(*world.sysctls->Ipv4Forwarding());
    EXPECT_OK(world.sysctls->SetForeignForwarding("up0", false));
    EXPECT_FALSE(world.sysctls->ForeignForwarding()->at("up0"));
    EXPECT_CODE(world.sysctls->SetForeignForwarding("up9", true), Code::kNotFound);
    EXPECT_CODE(world.sysctls->SetForeignForwarding("lo", true), Code::kInvalid);
    EXPECT_CODE(world.sysctls->SetForeignForwarding(TapName(kNumber), true), Code::kInvalid);
  });
}

}  // namespace
}  // namespace forkplane::drivers
