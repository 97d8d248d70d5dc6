// Goal: addresses, routes, neighbours, identity entries and programs behave the same on the fake
// host and on the kernel.
#include "tests/kernel/drivers_contract/world.h"

namespace forkplane::drivers {
namespace {

const Cidr kCidr = *ParseCidr("10.77.0.0/16");
const Ipv4Prefix kGateway = *ParsePrefix("10.77.0.1/16");
const Ipv4 kAddress = *ParseIpv4("10.77.0.5");
const Ipv4 kOther = *ParseIpv4("10.77.0.4");

void MakeBridge(World& world) {
  ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
  ASSERT_OK(world.links->SetUp(kBridge, true));
}

IdentityEntry EntryOf(Ipv4 outer) {
  IdentityEntry entry = {InnerMac(0), OuterMac(kNumber), InnerAddress(kCidr), outer,
                         DefaultGateway(kCidr)};
  entry.prefix_length = 16;
  entry.mtu = 9000;
  entry.dns = {kOther, outer};
  return entry;
}

TEST_P(DriversContract, AnAddressComesWithoutTheRouteOfItsNet) {
  OnHost([](World& world) {
    EXPECT_CODE(world.routes->AddAddress(kBridge, kGateway), Code::kNotFound);
    EXPECT_TRUE(world.routes->ListAddresses(kBridge)->empty());
    MakeBridge(world);
    EXPECT_OK(world.routes->AddAddress(kBridge, kGateway));
    EXPECT_CODE(world.routes->AddAddress(kBridge, kGateway), Code::kExists);
    EXPECT_EQ(*world.routes->ListAddresses(kBridge), std::vector<Ipv4Prefix>{kGateway});
    EXPECT_TRUE(world.routes->ListRoutes()->empty());
    EXPECT_EQ(*world.routes->ObserveCidr(kBridge, kGateway.Network()), CidrRoutes());
    EXPECT_CODE(world.routes->DeleteConnectedRoute(kBridge, kGateway.Network()), Code::kNotFound);
    EXPECT_OK(world.links->SetUp(kBridge, false));
    EXPECT_OK(world.links->SetUp(kBridge, true));
    EXPECT_TRUE(world.routes->ListRoutes()->empty()) << "nor when the link comes up again";
    EXPECT_OK(world.routes->DeleteAddress(kBridge, kGateway));
    EXPECT_CODE(world.routes->DeleteAddress(kBridge, kGateway), Code::kNotFound);
  });
}

TEST_P(DriversContract, ABlackholeIsOfNoLinkAndNoConflict) {
  OnHost([](World& world) {
    const Ipv4Prefix net = kGateway.Network();
    EXPECT_OK(world.routes->AddBlackhole(net));
    EXPECT_CODE(world.routes->AddBlackhole(net), Code::kExists);
    EXPECT_EQ(*world.routes->ObserveCidr(kMissing, net), (CidrRoutes{true, false}));
    EXPECT_FALSE(world.routes->ObserveCidr(kMissing, *ParsePrefix("10.77.0.0/24"))->blackhole);
    EXPECT_TRUE(world.routes->ListRoutes()->empty());
    MakeBridge(world);
    EXPECT_OK(world.routes->AddHostRoute(kBridge, kAddress));
    EXPECT_TRUE(*world.routes->HasHostRoute(kBridge, kAddress));
    EXPECT_FALSE(*world.routes->HasHostRoute(kBridge, kOther));
    EXPECT_OK(world.links->Delete(kBridge));
    EXPECT_OK(world.routes->DeleteBlackhole(net));
    EXPECT_CODE(world.routes->DeleteBlackhole(net), Code::kNotFound);
  });
}

TEST_P(DriversContract, TheRuleOfUnjudgedPacketsIsOfNoLink) {
  OnHost([](World& world) {
    EXPECT_FALSE(*world.routes->HasUnjudgedRule());
    EXPECT_CODE(world.routes->DeleteUnjudgedRule(), Code::kNotFound);
    EXPECT_OK(world.routes->AddUnjudgedRule());
    EXPECT_CODE(world.routes->AddUnjudgedRule(), Code::kExists);
    EXPECT_TRUE(*world.routes->HasUnjudgedRule());
    EXPECT_OK(world.routes->DeleteUnjudgedRule());
    EXPECT_FALSE(*world.routes->HasUnjudgedRule());
  });
}

TEST_P(DriversContract, SwitchesOfALinkOfOurs) {
  OnHost([](World& world) {
    for (const LinkSwitch which : drivers::kGuestLinkSwitches) {
      EXPECT_CODE(world.sysctls->IsOn("lo", which), Code::kInvalid);
      EXPECT_CODE(world.sysctls->SwitchOn("lo", which), Code::kInvalid);
      EXPECT_CODE(world.sysctls->IsOn("fkbr0", which), Code::kNotFound);
      EXPECT_CODE(world.sysctls->SwitchOn("fkbr0", which), Code::kNotFound);
    }
    MakeBridge(world);
    for (const LinkSwitch which : drivers::kGuestLinkSwitches) {
      EXPECT_OK(world.sysctls->SwitchOn("fkbr0", which));
      EXPECT_TRUE(*world.sysctls->IsOn("fkbr0", which));
    }
  });
}

TEST_P(DriversContract, HostRoutesNeedALinkThatIsUp) {
  OnHost([](World& world) {
    EXPECT_CODE(world.routes->AddHostRoute(kBridge, kAddress), Code::kNotFound);
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    EXPECT_CODE(world.routes->AddHostRoute(kBridge, kAddress), Code::kConflict);
    ASSERT_OK(world.links->SetUp(kBridge, true));
    EXPECT_OK(world.routes->AddHostRoute(kBridge, kAddress));
    EXPECT_CODE(world.routes->AddHostRoute(kBridge, kAddress), Code::kExists);
    EXPECT_OK(world.routes->AddHostRoute(kBridge, kOther));
    const std::vector<Ipv4> wanted = {kOther, kAddress};
    EXPECT_EQ(*world.routes->ListHostRoutes(kBridge), wanted);
    EXPECT_OK(world.routes->DeleteHostRoute(kBridge, kOther));
    EXPECT_CODE(world.routes->DeleteHostRoute(kBridge, kOther), Code::kNotFound);
    EXPECT_OK(world.links->SetUp(kBridge, false));  // routes do not outlive it
    EXPECT_TRUE(world.routes->ListHostRoutes(kBridge)->empty());
    EXPECT_TRUE(world.routes->ListHostRoutes(kMissing)->empty());
  });
}

TEST_P(DriversContract, AHostRouteIsFoundByItsAddress) {
  OnHost([](World& world) {
    EXPECT_FALSE(*world.routes->HasHostRoute(kMissing, kAddress));
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    EXPECT_FALSE(*world.routes->HasHostRoute(kBridge, kAddress)) << "down";
    ASSERT_OK(world.links->SetUp(kBridge, true));
    EXPECT_FALSE(*world.routes->HasHostRoute(kBridge, kAddress)) << "no route at all";
    ASSERT_OK(world.routes->AddAddress(kBridge, kGateway));
    EXPECT_FALSE(*world.routes->HasHostRoute(kBridge, kAddress)) << "the cidr's is none";
    ASSERT_OK(world.routes->AddHostRoute(kBridge, kOther));
    EXPECT_FALSE(*world.routes->HasHostRoute(kBridge, kAddress)) << "another's is none";
    ASSERT_OK(world.routes->AddHostRoute(kBridge, kAddress));
    EXPECT_TRUE(*world.routes->HasHostRoute(kBridge, kAddress));
    EXPECT_FALSE(*world.routes->HasHostRoute(kBridge, kGateway.address)) << "our own address";
    ASSERT_OK(world.links->CreateBridge({1, kGatewayMac, "", 1500}));
    ASSERT_OK(world.links->SetUp(BridgeIndex(1), true));
    EXPECT_FALSE(*world.routes->HasHostRoute(BridgeIndex(1), kAddress)) << "on another link";
    ASSERT_OK(world.routes->DeleteHostRoute(kBridge, kAddress));
    EXPECT_FALSE(*world.routes->HasHostRoute(kBridge, kAddress));
  });
}

TEST_P(DriversContract, ANeighbourIsFoundByItsAddress) {
  OnHost([](World& world) {
    EXPECT_FALSE(world.routes->ObserveNeighbour(kMissing, kAddress)->has_value());
    MakeBridge(world);
    EXPECT_FALSE(world.routes->ObserveNeighbour(kBridge, kAddress)->has_value());
    ASSERT_OK(world.routes->SetNeighbour(kBridge, {kAddress, OuterMac(1)}));
    EXPECT_EQ(*world.routes->ObserveNeighbour(kBridge, kAddress), OuterMac(1));
    EXPECT_FALSE(world.routes->ObserveNeighbour(kBridge, kOther)->has_value());
    ASSERT_OK(world.routes->SetNeighbour(kBridge, {kAddress, OuterMac(2)}));
    EXPECT_EQ(*world.routes->ObserveNeighbour(kBridge, kAddress), OuterMac(2));
    ASSERT_OK(world.routes->DeleteNeighbour(kBridge, kAddress));
    EXPECT_FALSE(world.routes->ObserveNeighbour(kBridge, kAddress)->has_value());
  });
}

TEST_P(DriversContract, NeighboursAreSetAndReplaced) {
  OnHost([](World& world) {
    EXPECT_CODE(world.routes->SetNeighbour(kBridge, {kAddress, OuterMac(1)}), Code::kNotFound);
    EXPECT_TRUE(world.routes->ListNeighbours(kBridge)->empty());
    MakeBridge(world);
    EXPECT_OK(world.routes->SetNeighbour(kBridge, {kAddress, OuterMac(1)}));
    EXPECT_OK(world.routes->SetNeighbour(kBridge, {kAddress, OuterMac(2)}));
    const std::vector<Neighbour> wanted = {{kAddress, OuterMac(2)}};
    EXPECT_EQ(*world.routes->ListNeighbours(kBridge), wanted);
    EXPECT_OK(world.routes->DeleteNeighbour(kBridge, kAddress));
    EXPECT_CODE(world.routes->DeleteNeighbour(kBridge, kAddress), Code::kNotFound);
    EXPECT_TRUE(world.routes->ListNeighbours(kBridge)->empty());
  });
}

TEST_P(DriversContract, AddressesRoutesAndNeighboursGoWithTheirLink) {
  OnHost([](World& world) {
    MakeBridge(world);
    ASSERT_OK(world.routes->AddAddress(kBridge, kGateway));
    ASSERT_OK(world.routes->AddHostRoute(kBridge, kAddress));
    ASSERT_OK(world.routes->SetNeighbour(kBridge, {kAddress, OuterMac(1)}));
    ASSERT_OK(world.links->Delete(kBridge));
    MakeBridge(world);
    EXPECT_TRUE(world.routes->ListAddresses(kBridge)->empty());
    EXPECT_TRUE(world.routes->ListHostRoutes(kBridge)->empty());
    EXPECT_TRUE(world.routes->ListNeighbours(kBridge)->empty());
    EXPECT_TRUE(world.routes->ListRoutes()->empty());
  });
}

TEST_P(DriversContract, WithoutADefaultRouteThereIsNoUplink) {
  OnHost([](World& world) {
    EXPECT_FALSE(world.routes->DefaultUplink()->has_value());
    EXPECT_FALSE(world.routes->UplinkByName("nothing0")->has_value());
    MakeBridge(world);
    EXPECT_EQ(world.routes->UplinkByName("fkbr0")->value().index, kBridge);
  });
}

TEST_P(DriversContract, IdentityEntriesAreReplacedAndOutliveTheTap) {
  OnHost([](World& world) {
    EXPECT_FALSE(world.identity->ObserveEntry(kTap)->has_value());
    EXPECT_CODE(world.identity->DeleteEntry(kTap), Code::kNotFound);
    EXPECT_CODE(world.identity->Counters(kTap), Code::kNotFound);
    EXPECT_OK(world.identity->Counters(0));
    EXPECT_CODE(world.identity->SetEntry(kBridge, EntryOf(kAddress)), Code::kInvalid);
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_OK(world.identity->SetEntry(kTap, EntryOf(kAddress)));
    EXPECT_OK(world.identity->SetEntry(kTap, EntryOf(kOther)));
    EXPECT_EQ(world.identity->ObserveEntry(kTap)->value(), EntryOf(kOther));
    EXPECT_EQ(*world.identity->Counters(kTap), IdentityCounters());
    ASSERT_OK(world.taps->Delete(kNumber));
    const std::vector<IdentityEntryAt> wanted = {{kTap, EntryOf(kOther)}};
    EXPECT_EQ(*world.identity->ListEntries(), wanted);
    EXPECT_OK(world.identity->DeleteEntry(kTap));
    EXPECT_TRUE(world.identity->ListEntries()->empty());
  });
}

TEST_P(DriversContract, ProgramsNeedClsactAndGoWithIt) {
  for (const RedirectMode mode : {RedirectMode::kBpf, RedirectMode::kMirred}) {
    OnHost(mode, [mode](World& world) {
      EXPECT_EQ(world.identity->Mode(), mode);
      EXPECT_CODE(world.identity->ObservePrograms(kTap), Code::kNotFound);
      EXPECT_CODE(world.identity->Attach(kTap, Direction::kEgress), Code::kNotFound);
      ASSERT_OK(world.links->CreateIfb({0, ""}));
      ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
      EXPECT_CODE(world.identity->Attach(kTap, Direction::kIngress), Code::kNotFound);
      EXPECT_CODE(world.identity->Detach(kTap, Direction::kIngress), Code::kNotFound);
      ASSERT_OK(world.qdiscs->AddClsact(kTap));
      EXPECT_CODE(world.identity->Detach(kTap, Direction::kIngress), Code::kNotFound);
      const AttachedPrograms none;
      EXPECT_EQ(*world.identity->ObservePrograms(kTap), none);
      EXPECT_OK(world.identity->Attach(kTap, Direction::kIngress));
      EXPECT_OK(world.identity->Attach(kTap, Direction::kEgress));
      EXPECT_OK(world.identity->Attach(kTap, Direction::kIngress));
      const AttachedPrograms both = {ProgramState::kOurs, ProgramState::kOurs};
      EXPECT_EQ(*world.identity->ObservePrograms(kTap), both);
      EXPECT_OK(world.identity->Detach(kTap, Direction::kIngress));
      const AttachedPrograms egress = {ProgramState::kNone, ProgramState::kOurs};
      EXPECT_EQ(*world.identity->ObservePrograms(kTap), egress);
      ASSERT_OK(world.qdiscs->DeleteClsact(kTap));
      EXPECT_EQ(*world.identity->ObservePrograms(kTap), none);
    });
  }
}

}  // namespace
}  // namespace forkplane::drivers
