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

FirewallNetwork Wide() {
  FirewallNetwork network = {.cidr = kWide, .bridge = "fkbr0", .isolated = false};
  network.egress = Egress::kInternet;
  network.metadata_access = true;
  network.allow = {Opening::Of(*ParsePrefix("192.168.0.0/16"))};
  return network;
}

// Every field another than its default.
FirewallNetwork Narrow() {
  FirewallNetwork network = {.cidr = kNarrow, .bridge = "fkbr1", .isolated = false};
  network.masquerade = false;
  network.egress = Egress::kAll;
  network.host_access = true;
  network.metadata_access = true;
  network.uplink = "eth1.7";
  network.connections_max = 100;
  network.allow = {{*ParseIpv4("10.9.0.9"), *ParseIpv4("10.9.0.11"), 6, 6, 80, 90}};
  network.ingress = {Opening::Of({{}, 0})};
  network.services = {{*ParseIpv4("10.5.0.1"), *ParseIpv4("10.5.0.1"), 17, 17, 53, 53}};
  return network;
}

std::string Seen(World& world) {
  const auto observed = world.firewall->Observe();
  return observed.ok() && *observed ? ToString(**observed) : "none";
}

TEST_P(DriversContract, TheFirewallIsExactlyWhatItWasReplacedBy) {
  OnHost([](World& world) {
    EXPECT_FALSE(world.firewall->Observe()->has_value());
    EXPECT_CODE(world.firewall->Remove(), Code::kNotFound);
    const FirewallRules one = {{Wide()}, {}, {}};
    EXPECT_OK(world.firewall->Replace(one));
    EXPECT_EQ(Seen(world), ToString(one));
    const FirewallRules two = {{Narrow(), Wide()}, {"up0", "lan0"}, {}};
    EXPECT_OK(world.firewall->Replace(two));
    EXPECT_EQ(Seen(world), ToString(two));
    EXPECT_OK(world.firewall->Replace(one));
    EXPECT_EQ(Seen(world), ToString(one));
    EXPECT_OK(world.firewall->Replace({}));
    EXPECT_EQ(Seen(world), "");
    EXPECT_TRUE(world.firewall->ListRefused()->empty());
    EXPECT_OK(world.firewall->Remove());
    EXPECT_FALSE(world.firewall->Observe()->has_value());
    EXPECT_TRUE(world.firewall->ListRefused()->empty());
  });
}

// Goal: each single switch is written and read by itself. Method: one Network, one field changed at
// a time, forth and back, so that each change is one of elements.
TEST_P(DriversContract, EverySwitchOfTheFirewallIsChangedAlone) {
  OnHost([](World& world) {
    const FirewallNetwork plain = {.cidr = kWide, .bridge = "fkbr0"};
    const FirewallNetwork other = Narrow();
    std::vector<FirewallNetwork> changed(11, plain);
    changed[0].isolated = false;
    changed[1].masquerade = false;
    changed[2].egress = Egress::kInternet;
    changed[3].egress = Egress::kAll;
    changed[4].host_access = true;
    changed[5].metadata_access = true;
    changed[6].uplink = "up0";
    changed[7].connections_max = 17;
    changed[8].allow = other.allow;
    changed[9].ingress = other.ingress;
    changed[10].services = other.services;
    for (const FirewallNetwork& network : changed) {
      for (const FirewallNetwork& next : {network, plain}) {
        const FirewallRules rules = {{other, next}, {}, {}};
        EXPECT_OK(world.firewall->Replace(rules));
        EXPECT_EQ(Seen(world), ToString(rules));
      }
    }
  });
}

TEST_P(DriversContract, ObservedRulesAreCanonical) {
  OnHost([](World& world) {
    FirewallNetwork network = Wide();
    // They overlap: the kernel would refuse them as they are.
    network.allow = {{*ParseIpv4("10.9.0.0"), *ParseIpv4("10.9.0.255"), 6, 6, 80, 80},
                     Opening::Of(*ParsePrefix("10.9.0.128/25")),
                     {*ParseIpv4("10.9.0.64"), *ParseIpv4("10.9.1.3"), 6, 17, 50, 90}};
    const FirewallRules rules = {{network, Narrow()}, {}, {}};
    EXPECT_OK(world.firewall->Replace(rules));
    EXPECT_EQ(Seen(world), ToString(Canonical(rules)));
    EXPECT_NE(Seen(world), ToString(rules));
  });
}

TEST_P(DriversContract, ImpossibleFirewallsAreRefused) {
  OnHost([](World& world) {
    const auto refused = [&](const FirewallNetwork& a) {
      EXPECT_CODE(world.firewall->Replace({{Narrow(), a}, {}, {}}), Code::kInvalid);
    };
    refused({.cidr = kNarrow});
    refused({.cidr = *ParsePrefix("10.0.0.0/8")});
    refused({.cidr = *ParsePrefix("10.77.0.1/16")});
    refused({.cidr = kWide, .uplink = "eth0\" accept"});
    refused({.cidr = kWide, .connections_max = 0});
    EXPECT_CODE(world.firewall->Replace({{}, {"a,b"}, {}}), Code::kInvalid);
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
    LinkEvent fell = turned;
    fell.down = true;
    EXPECT_TRUE(seen.Saw(fell));
    world.events->Stop();
  });
}

}  // namespace
}  // namespace forkplane::drivers
