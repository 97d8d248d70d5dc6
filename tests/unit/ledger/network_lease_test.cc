// Goal: one bridge number and one block per Network; nothing is taken from under an interface.
#include "tests/unit/ledger/fixture.h"

namespace forkplane::ledger {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using NetworkLeaseTest = LedgerTest;

TEST_F(NetworkLeaseTest, EachGetsTheLowestFreeBridge) {
  EXPECT_EQ(ledger_->ClaimNetwork(SmallNetwork("n1", "one", "10.1.0.0/24"))->bridge, 0u);
  EXPECT_EQ(ledger_->ClaimNetwork(SmallNetwork("n2", "two", "10.2.0.0/24"))->bridge, 1u);
  EXPECT_EQ(ledger_->ClaimNetwork(SmallNetwork("n1", "one", "10.1.0.0/24"))->bridge, 0u);
  ASSERT_TRUE(ledger_->BeginReleaseNetwork("n1").ok());
  EXPECT_EQ(ledger_->ClaimNetwork(SmallNetwork("n3", "three", "10.3.0.0/24"))->bridge, 2u)
      << "not free before its absence was seen";
  ASSERT_TRUE(ledger_->ConfirmNetworkAbsent("n1").ok());
  EXPECT_EQ(ledger_->ClaimNetwork(SmallNetwork("n4", "four", "10.4.0.0/24"))->bridge, 0u);
}

TEST_F(NetworkLeaseTest, ABlockThatOverlapsAnotherIsRefusedByName) {
  AddNetwork(SmallNetwork("n1", "one", "10.0.0.0/16"));
  const auto refused = ledger_->ClaimNetwork(SmallNetwork("n2", "two", "10.0.7.0/24"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kConflict);
  EXPECT_EQ(refused.error().message,
            "network two: 10.0.7.0/24 overlaps 10.0.0.0/16 of network one");
}

TEST_F(NetworkLeaseTest, AUsedOneIsNotReleasedNorMoved) {
  AddNetwork();
  MustClaim(ClaimOf("a"));
  EXPECT_EQ(ledger_->BeginReleaseNetwork("net-1").error().message,
            "network default is used by 1 interfaces");
  EXPECT_THAT(
      ledger_->ClaimNetwork(SmallNetwork("net-1", "default", "10.9.0.0/24")).error().message,
      HasSubstr("cidr, gateway and mode do not change"));
  NetworkParameters faster = SmallNetwork();
  faster.unshaped_rate_bits = 9'000'000;
  EXPECT_TRUE(ledger_->ClaimNetwork(faster).ok());
  EXPECT_EQ(ledger_->GetNetworkByName("default")->parameters.unshaped_rate_bits, 9'000'000u);
  LetGo("a");
  ASSERT_TRUE(ledger_->BeginReleaseNetwork("net-1").ok());
  EXPECT_EQ(ledger_->Claim(ClaimOf("b")).error().code, Code::kNotFound);
  EXPECT_TRUE(ledger_->ConfirmNetworkAbsent("net-1").ok());
  EXPECT_EQ(ledger_->GetNetwork("net-1"), std::nullopt);
}

TEST_F(NetworkLeaseTest, AnAddressRestsAcrossNetworksOfTheSameBlock) {
  AddNetwork();
  MustClaim(ClaimOf("a"));
  LetGo("a");
  ASSERT_TRUE(ledger_->BeginReleaseNetwork("net-1").ok());
  ASSERT_TRUE(ledger_->ConfirmNetworkAbsent("net-1").ok());
  AddNetwork(SmallNetwork("net-2", "default"));
  EXPECT_EQ(MustClaim(ClaimOf("b", 1, "net-2")).interfaces.at(0).address, Ip("10.0.0.4"));
  clock_.Advance(std::chrono::seconds(30));
  EXPECT_EQ(MustClaim(ClaimOf("c", 1, "net-2")).interfaces.at(0).address, Ip("10.0.0.3"));
}

TEST_F(NetworkLeaseTest, RestsAreCountedByTheBlockTheyAreIn) {
  AddNetwork();
  MustClaim(ClaimOf("a"));
  LetGo("a");
  AddNetwork(SmallNetwork("net-1", "default", "10.9.0.0/29"));
  EXPECT_EQ(ledger_->AddressesOf("net-1").used, 0u);
  EXPECT_EQ(ledger_->AddressesOf("net-1").resting, 0u) << "the block moved away from it";
  AddNetwork(SmallNetwork("net-2", "other"));
  for (const bool reopened : {false, true}) {
    if (reopened) Reopen();
    EXPECT_EQ(ledger_->AddressesOf("net-2").used, 1u);
    EXPECT_EQ(ledger_->AddressesOf("net-2").resting, 1u) << "who made it does not matter";
  }
  clock_.Advance(std::chrono::seconds(30));
  MustClaim(ClaimOf("b", 1, "net-2"));
  EXPECT_EQ(ledger_->AddressesOf("net-2").resting, 0u);
}

TEST_F(NetworkLeaseTest, NameServersChangeUnderInterfacesAndAreKept) {
  AddNetwork();
  MustClaim(ClaimOf("a"));
  NetworkParameters network = SmallNetwork();
  for (const std::array<Ipv4, 2>& dns :
       {std::array<Ipv4, 2>{Ip("1.1.1.1")}, {Ip("1.1.1.1"), Ip("9.9.9.9")}, {}}) {
    network.dns = dns;
    AddNetwork(network);
    Reopen();
    EXPECT_EQ(ledger_->GetNetwork("net-1")->parameters, network);
  }
}

class BridgeLeaseTest : public LedgerTest {
 protected:
  void SetUp() override {
    options_.ports_per_bridge = 2;
    LedgerTest::SetUp();
    AddNetwork(SmallNetwork("net-1", "default", "10.1.0.0/24"));
    AddNetwork(SmallNetwork("net-2", "other", "10.2.0.0/24"));
  }

  std::vector<std::uint32_t> Bridges(const VmClaim& claim) {
    std::vector<std::uint32_t> bridges;
    for (const auto& lease : MustClaim(claim).interfaces) bridges.push_back(lease.bridge);
    return bridges;
  }
  std::vector<FurtherBridge> Further(const std::string& uid = "net-1") {
    return ledger_->GetNetwork(uid)->further;
  }
};

TEST_F(BridgeLeaseTest, AFullNetworkGetsAFurtherBridgeInTheSameCommit) {
  EXPECT_THAT(Bridges(ClaimOf("a", 5)), ElementsAre(0, 0, 2, 2, 3));
  EXPECT_THAT(Further(), ElementsAre(FurtherBridge{2}, FurtherBridge{3}));
  EXPECT_THAT(Bridges(ClaimOf("b", 3, "net-2")), ElementsAre(1, 1, 4));
  EXPECT_THAT(Bridges(ClaimOf("c")), ElementsAre(3)) << "the room there is, first";
  EXPECT_EQ(ledger_->PortsOf(3), 2u);
  Reopen();
  ASSERT_TRUE(ledger_->Health().ok()) << ledger_->Health().error().message;
  EXPECT_THAT(Further(), ElementsAre(FurtherBridge{2}, FurtherBridge{3}));
  EXPECT_EQ(ledger_->ClaimNetwork(SmallNetwork("n9", "nine", "10.9.0.0/24"))->bridge, 5u);
  EXPECT_EQ(ledger_->ClaimNetwork(SmallNetwork("net-1", "default", "10.1.0.0/24"))->further,
            Further());
}

TEST_F(BridgeLeaseTest, AFurtherBridgeIsFreeOnlyAfterItWasSeenGone) {
  MustClaim(ClaimOf("a", 2));
  MustClaim(ClaimOf("b", 2));
  EXPECT_THAT(ledger_->BeginReleaseBridge(2).error().message, HasSubstr("fkbr2 has 2 interfaces"));
  EXPECT_EQ(ledger_->ConfirmBridgeAbsent(2).error().code, Code::kConflict);
  LetGo("b");
  ASSERT_TRUE(ledger_->BeginReleaseBridge(2).ok());
  ASSERT_TRUE(ledger_->BeginReleaseBridge(2).ok());
  Reopen();
  EXPECT_THAT(Further(), ElementsAre(FurtherBridge{2, true}));
  EXPECT_THAT(Bridges(ClaimOf("c", 1)), ElementsAre(3)) << "it is on its way out";
  ASSERT_TRUE(ledger_->ConfirmBridgeAbsent(2).ok());
  ASSERT_TRUE(ledger_->ConfirmBridgeAbsent(2).ok());
  EXPECT_THAT(Further(), ElementsAre(FurtherBridge{3}));
  EXPECT_THAT(Bridges(ClaimOf("d", 2)), ElementsAre(3, 2));
}

TEST_F(BridgeLeaseTest, ANetworkGoesAfterItsFurtherBridges) {
  MustClaim(ClaimOf("a", 3));
  LetGo("a");
  ASSERT_TRUE(ledger_->BeginReleaseNetwork("net-1").ok());
  EXPECT_THAT(ledger_->ConfirmNetworkAbsent("net-1").error().message,
              HasSubstr("has further bridges"));
  ASSERT_TRUE(ledger_->BeginReleaseBridge(2).ok());
  ASSERT_TRUE(ledger_->ConfirmBridgeAbsent(2).ok());
  ASSERT_TRUE(ledger_->ConfirmNetworkAbsent("net-1").ok());
  EXPECT_THAT(Bridges(ClaimOf("b", 3, "net-2")), ElementsAre(1, 1, 0));
}

TEST_F(BridgeLeaseTest, RoutedInterfacesAreNoPorts) {
  NetworkParameters routed = SmallNetwork("net-3", "routed", "10.3.0.0/24");
  routed.routed = true;
  AddNetwork(routed);
  EXPECT_THAT(Bridges(ClaimOf("a", 4, "net-3")), ElementsAre(2, 2, 2, 2));
  routed.routed = false;
  EXPECT_THAT(ledger_->ClaimNetwork(routed).error().message, HasSubstr("mode do not change"));
  Reopen();
  EXPECT_TRUE(ledger_->GetNetwork("net-3")->parameters.routed);
}

TEST_F(BridgeLeaseTest, SubscribersHearOfABridge) {
  std::vector<std::string> heard;
  const auto handle = ledger_->Subscribe([&](const Change& change) {
    if (change.kind == Change::Kind::kNetwork) heard.push_back(change.network_name);
  });
  MustClaim(ClaimOf("a", 3));
  EXPECT_THAT(heard, ElementsAre("default"));
  LetGo("a");
  ASSERT_TRUE(ledger_->BeginReleaseBridge(2).ok());
  ASSERT_TRUE(ledger_->ConfirmBridgeAbsent(2).ok());
  EXPECT_THAT(heard, ElementsAre("default", "default", "default"));
}

TEST_F(NetworkLeaseTest, RefusesAGatewayThatIsNoHost) {
  NetworkParameters bad = SmallNetwork();
  bad.gateway = bad.cidr.base;
  EXPECT_EQ(ledger_->ClaimNetwork(bad).error().code, Code::kInvalid);
}

TEST_F(NetworkLeaseTest, TheInnerAddressAvoidsTheGateway) {
  NetworkParameters network = SmallNetwork();
  network.gateway = network.cidr.At(2);
  EXPECT_EQ(network.inner(), network.cidr.At(1));
}

}  // namespace
}  // namespace forkplane::ledger
