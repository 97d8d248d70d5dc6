// Goal: which interfaces an event of the kernel wakes: its own, and all ports of a bridge only when
// it may have taken something from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/support/fake_drivers.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::tap {
namespace {

using drivers::LinkEventKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TapKeysTest : public ::testing::Test {
 protected:
  TapKeysTest() {
    ledger::Options options;
    options.ports_per_bridge = 3;
    ledger_ = testing::MemoryLedgerWith(testing::NetworkOf(), RealClock(), rng_, options);
    for (const char* uid : {"a", "b"}) {
      leases_.push_back(testing::ClaimOne(*ledger_, uid, uid));
    }
    Options no_threads;
    no_threads.deletion_threads = 0;
    loop_ = std::make_unique<TapReconciler>(
        *ledger_,
        Drivers{drivers_.links, drivers_.taps, drivers_.qdiscs, drivers_.identities,
                drivers_.routes, drivers_.sysctls, drivers_.flows},
        facts_, vmms_, no_threads);
  }

  SeededRng rng_{1};
  std::unique_ptr<ledger::Ledger> ledger_;
  fake::FakeKernel kernel_;
  testing::FakeDrivers drivers_{kernel_};
  runtime::InterfaceFactBoard facts_;
  runtime::VmmFactBoard vmms_;
  std::vector<ledger::InterfaceLease> leases_;
  std::unique_ptr<TapReconciler> loop_;
};

TEST_F(TapKeysTest, AnEventOfATapIsOfItsInterface) {
  const std::uint32_t index = TapIndex(leases_[1].number);
  const std::string key = ledger::KeyOf(leases_[1].id);
  for (const auto kind : {LinkEventKind::kLink, LinkEventKind::kLinkGone, LinkEventKind::kQdisc,
                          LinkEventKind::kFilter}) {
    EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{kind, index}), ElementsAre(key));
  }
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kLink, TapIndex(99)}), IsEmpty());
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kClass, IfbIndex(0)}), IsEmpty());
}

TEST_F(TapKeysTest, ABridgeWakesAllWhenItGoesOrTurnsNotWhenAPortJoinsIt) {
  const std::uint32_t bridge = BridgeIndex(0);
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kLinkGone, bridge}), SizeIs(2));
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kLink, bridge, 0, true}), SizeIs(2));
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kLink, bridge}), IsEmpty());
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kLost}), SizeIs(2));
}

TEST_F(TapKeysTest, ABridgeWakesItsOwnPortsAlone) {
  for (const char* uid : {"c", "d"}) {
    ledger::VmClaim claim{.owner = {uid, "default", uid}};
    claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = "net"}};
    leases_.push_back(ledger_->Claim(claim)->interfaces.at(0));
  }
  const ledger::InterfaceLease& lease = leases_.back();
  ASSERT_EQ(lease.bridge, 1u) << "the first is full";
  const auto keys = [&](LinkEventKind kind, std::uint32_t bridge) {
    return loop_->KeysOf(drivers::LinkEvent{kind, BridgeIndex(bridge)});
  };
  for (const auto kind : {LinkEventKind::kLinkGone, LinkEventKind::kAddressGone}) {
    EXPECT_THAT(keys(kind, 1), ElementsAre(ledger::KeyOf(lease.id)));
    EXPECT_THAT(keys(kind, 0), SizeIs(3));
    EXPECT_THAT(keys(kind, 2), IsEmpty());
  }
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kLost}), SizeIs(4));
}

TEST_F(TapKeysTest, ARouteOrNeighbourIsOfTheInterfaceWithItsAddress) {
  const std::uint32_t bridge = BridgeIndex(0);
  const std::string key = ledger::KeyOf(leases_[1].id);
  for (const auto kind : {LinkEventKind::kRoute, LinkEventKind::kNeighbour}) {
    drivers::LinkEvent event{kind, bridge};
    event.address = leases_[1].address;
    EXPECT_THAT(loop_->KeysOf(event), ElementsAre(key));
    event.mac = OuterMac(9);
    EXPECT_THAT(loop_->KeysOf(event), ElementsAre(key));
    event.address = Ipv4{0x0a4d00fe};
    EXPECT_THAT(loop_->KeysOf(event), IsEmpty());
  }
  // What this loop wrote itself.
  drivers::LinkEvent echo{LinkEventKind::kNeighbour, bridge};
  echo.address = leases_[1].address;
  echo.mac = OuterMac(leases_[1].number);
  EXPECT_THAT(loop_->KeysOf(echo), IsEmpty());
}

TEST_F(TapKeysTest, ABridgeThatLosesAnAddressWakesAll) {
  const std::uint32_t bridge = BridgeIndex(0);
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kAddressGone, bridge}), SizeIs(2));
  EXPECT_THAT(loop_->KeysOf(drivers::LinkEvent{LinkEventKind::kAddress, bridge}), IsEmpty());
}

// The redirecting filters name it; in the other mode there are none.
TEST_F(TapKeysTest, ANewIfbWakesAllOfItsDomainInMirredMode) {
  const drivers::LinkEvent made{LinkEventKind::kLink, IfbIndex(0), 0, true};
  EXPECT_THAT(loop_->KeysOf(made), IsEmpty());
  fake::FakeIdentityDriver mirred(kernel_, drivers::RedirectMode::kMirred);
  Options options;
  options.deletion_threads = 0;
  const TapReconciler loop(*ledger_,
                           Drivers{drivers_.links, drivers_.taps, drivers_.qdiscs, mirred,
                                   drivers_.routes, drivers_.sysctls, drivers_.flows},
                           facts_, vmms_, options);
  EXPECT_THAT(loop.KeysOf(made), SizeIs(2));
}

// Its own creation is told under nobody's name; what others do to it meanwhile is not passed over.
TEST_F(TapKeysTest, OfATapThatWaitsForItsFirstLookOnlyHarmWakes) {
  ASSERT_TRUE(drivers_.links.CreateBridge({0, kGatewayMac, "net", kMtuDefault}).ok());
  ASSERT_TRUE(drivers_.links.SetUp(BridgeIndex(0), true).ok());
  ledger::VmClaim claim{.owner = {"new", "default", "new"}};
  claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = "net"}};
  const auto lease = ledger_->Claim(claim)->interfaces.at(0);
  const std::string key = ledger::KeyOf(lease.id);
  const std::uint32_t tap = TapIndex(lease.number);
  const drivers::LinkEvent made{LinkEventKind::kLink, tap, 0, true};
  const drivers::LinkEvent changed{LinkEventKind::kLink, tap};
  drivers::LinkEvent down = made;
  down.down = true;
  EXPECT_THAT(loop_->KeysOf(made), ElementsAre(key)) << "not begun";
  ASSERT_TRUE(loop_->Reconcile(key, {}).ok());
  EXPECT_THAT(loop_->KeysOf(made), IsEmpty());
  EXPECT_THAT(loop_->KeysOf(changed), IsEmpty());
  for (const drivers::LinkEvent& harm : {down, drivers::LinkEvent{LinkEventKind::kLinkGone, tap},
                                         drivers::LinkEvent{LinkEventKind::kQdisc, tap, kTbfHandle},
                                         drivers::LinkEvent{LinkEventKind::kFilter, tap}}) {
    EXPECT_THAT(loop_->KeysOf(harm), ElementsAre(key));
  }
  ASSERT_TRUE(loop_->Reconcile(key, {}).ok());
  EXPECT_THAT(loop_->KeysOf(changed), ElementsAre(key)) << "it was looked at";
}

}  // namespace
}  // namespace forkplane::tap
