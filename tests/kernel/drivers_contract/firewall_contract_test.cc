// Goal: the firewall and the events behave the same on the fake host and on the kernel.
#include <chrono>

#include "controller/base/mutex.h"
#include "tests/kernel/drivers_contract/world.h"

namespace forkplane::drivers {
namespace {

const Ipv4Prefix kWide = *ParsePrefix("10.77.0.0/16");
const Ipv4Prefix kNarrow = *ParsePrefix("10.5.0.0/24");

// Gathers events until one wanted has come.
class Gatherer {
 public:
  void Add(const LinkEvent& event) {
    const MutexLock lock(mutex_);
    events_.push_back(event);
    changed_.NotifyAll();
  }
  void Forget() {
    const MutexLock lock(mutex_);
    events_.clear();
  }
  auto Count(const LinkEvent& wanted) {
    const MutexLock lock(mutex_);
    return std::count(events_.begin(), events_.end(), wanted);
  }
  bool Saw(const LinkEvent& wanted) {
    const MutexLock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    return changed_.WaitUntil(mutex_, {}, deadline, [&]() NO_THREAD_SAFETY_ANALYSIS {
      return std::find(events_.begin(), events_.end(), wanted) != events_.end();
    });
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<LinkEvent> events_ GUARDED_BY(mutex_);
};

TEST_P(DriversContract, TheFirewallIsExactlyWhatItWasReplacedBy) {
  OnHost([](World& world) {
    EXPECT_FALSE(world.firewall->Observe()->has_value());
    EXPECT_CODE(world.firewall->Remove(), Code::kNotFound);
    const FirewallRules one = {{{kWide, "eth0", true, true}}, {}};
    EXPECT_OK(world.firewall->Replace(one));
    EXPECT_EQ(world.firewall->Observe()->value(), one);
    const FirewallRules two = {{{kNarrow, "", true, false}, {kWide, "eth1", false, true}}, {}};
    EXPECT_OK(world.firewall->Replace(two));
    EXPECT_EQ(world.firewall->Observe()->value(), two);
    EXPECT_OK(world.firewall->Replace({}));
    EXPECT_EQ(world.firewall->Observe()->value(), FirewallRules());
    EXPECT_OK(world.firewall->Remove());
    EXPECT_FALSE(world.firewall->Observe()->has_value());
  });
}

TEST_P(DriversContract, ObservedRulesAreCanonical) {
  OnHost([](World& world) {
    const FirewallRules rules = {{{kWide, "eth0", true, true}, {kNarrow, "unused", true, false}},
                                 {}};
    EXPECT_OK(world.firewall->Replace(rules));
    EXPECT_EQ(world.firewall->Observe()->value(), Canonical(rules));
    EXPECT_NE(world.firewall->Observe()->value(), rules);
  });
}

TEST_P(DriversContract, ImpossibleFirewallsAreRefused) {
  OnHost([](World& world) {
    const auto refused = [&](const FirewallNetwork& a, const FirewallNetwork& b) {
      EXPECT_CODE(world.firewall->Replace({{a, b}, {}}), Code::kInvalid);
    };
    refused({kWide, "eth0", true, true}, {kWide, "eth1", true, true});
    refused({kWide, "", true, true}, {kNarrow, "eth0", true, true});
    refused({kWide, "eth0\" accept", true, true}, {kNarrow, "eth0", true, true});
    refused({*ParsePrefix("10.77.0.1/16"), "eth0", true, true}, {kNarrow, "eth0", true, true});
    EXPECT_FALSE(world.firewall->Observe()->has_value());
  });
}

TEST_P(DriversContract, ChangesAreAnnounced) {
  OnHost([](World& world) {
    Gatherer seen;
    ASSERT_OK(world.events->Start([&](const LinkEvent& event) { seen.Add(event); }));
    EXPECT_CODE(world.events->Start([](const LinkEvent&) {}), Code::kConflict);
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kLink, kIfb, 0, true}));
    ASSERT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kQdisc, kIfb, kHtbHandle}));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, {5, 0, 1000, 1000, 4000, 4000, kQuantumBytes}));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kClass, kIfb, kHtbHandle | 5}));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    ASSERT_OK(world.qdiscs->AddClsact(kTap));
    ASSERT_OK(world.identity->Attach(kTap, Direction::kEgress));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kFilter, kTap, 0}));
    ASSERT_OK(world.taps->Delete(kNumber));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kLinkGone, kTap, 0}));
    world.events->Stop();
    world.events->Stop();
  });
}

TEST_P(DriversContract, AddressesRoutesAndNeighboursAreAnnounced) {
  OnHost([](World& world) {
    Gatherer seen;
    const Ipv4 guest = {0x0a4d0005};
    const Ipv4Prefix gateway = *ParsePrefix("10.77.0.1/16");
    const auto of = [&](LinkEventKind kind, std::optional<MacAddress> mac = {}) {
      return LinkEvent{kind, kBridge, 0, false, guest, mac};
    };
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    ASSERT_OK(world.links->SetUp(kBridge, true));
    ASSERT_OK(world.events->Start([&](const LinkEvent& event) { seen.Add(event); }));
    ASSERT_OK(world.routes->AddAddress(kBridge, gateway));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kAddress, kBridge}));
    ASSERT_OK(world.routes->AddHostRoute(kBridge, guest));
    ASSERT_OK(world.routes->SetNeighbour(kBridge, {guest, OuterMac(5)}));
    EXPECT_TRUE(seen.Saw(of(LinkEventKind::kNeighbour, OuterMac(5))));
    EXPECT_EQ(seen.Count(of(LinkEventKind::kRoute)), 0) << "one that is new is no news";
    ASSERT_OK(world.routes->DeleteHostRoute(kBridge, guest));
    EXPECT_TRUE(seen.Saw(of(LinkEventKind::kRoute)));
    ASSERT_OK(world.routes->DeleteNeighbour(kBridge, guest));
    EXPECT_TRUE(seen.Saw(of(LinkEventKind::kNeighbour)));
    // The last address takes routes and neighbours with it.
    ASSERT_OK(world.routes->AddHostRoute(kBridge, guest));
    ASSERT_OK(world.routes->SetNeighbour(kBridge, {guest, OuterMac(5)}));
    ASSERT_OK(world.routes->DeleteAddress(kBridge, gateway));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kAddressGone, kBridge}));
    EXPECT_EQ(world.routes->ListHostRoutes(kBridge)->size(), 0u);
    EXPECT_EQ(world.routes->ListNeighbours(kBridge)->size(), 0u);
    world.events->Stop();
  });
}

// Half the events of a burst of forks are of their bridge, and say only that a port has joined.
TEST_P(DriversContract, ABridgeTurnsWhenItIsNewOrGoesUpOrDownAndNotWhenAPortJoins) {
  OnHost([](World& world) {
    Gatherer seen;
    ASSERT_OK(world.events->Start([&](const LinkEvent& event) { seen.Add(event); }));
    const LinkEvent turned = {LinkEventKind::kLink, kBridge, 0, true};
    const LinkEvent changed = {LinkEventKind::kLink, kBridge, 0, false};
    ASSERT_OK(world.links->CreateBridge({0, kGatewayMac, "", 1500}));
    EXPECT_TRUE(seen.Saw(turned));
    seen.Forget();
    ASSERT_OK(world.links->SetUp(kBridge, true));
    EXPECT_TRUE(seen.Saw(turned));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kLink, kTap, 0, true}));
    seen.Forget();
    ASSERT_OK(world.links->SetMaster(kTap, kBridge));
    EXPECT_TRUE(seen.Saw(changed));
    ASSERT_OK(world.links->SetPortUp(kTap, true));
    EXPECT_TRUE(seen.Saw({LinkEventKind::kLink, kTap, 0, true}));
    // The kernel's order is that of its changes: what the join said of the bridge came before.
    EXPECT_EQ(seen.Count(turned), 0);
    ASSERT_OK(world.links->SetUp(kBridge, false));
    EXPECT_TRUE(seen.Saw(turned));
    world.events->Stop();
  });
}

}  // namespace
}  // namespace forkplane::drivers
