// Goal: the four loops together, on the real kernel: three leases appear with all they need, what
// others delete comes back, and a release leaves nothing.
// Method: a network namespace of its own; the loops are run pass by pass, without threads, so that
// every step is certain; what is there is read with the drivers, not from what the loops reported.
// What a pass asks of the kernel is counted at the drivers' doors and in messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/rng.h"
#include "drivers/bpf/identity.h"
#include "drivers/hooked_network.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"
#include "reconcilers/host/reconciler.h"
#include "reconcilers/network/reconciler.h"
#include "reconcilers/shaping/reconciler.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/support/forwarding_probe.h"
#include "tests/support/netns.h"

namespace forkplane {
namespace {

// The objects of a store that nobody writes to but the test.
class Objects final : public network::Objects, public shaping::Specs {
 public:
  Objects() {
    network_.metadata.name = "default";
    network_.metadata.uid = "net";
    network_.spec.cidr = "10.77.0.0/24";
    vm_.spec.interfaces[0].bandwidth =
        crd::Bandwidth{crd::DownloadLimit{crd::Quantity::Of("50M"), std::nullopt},
                       crd::UploadLimit{crd::Quantity::Of("10M"), std::nullopt, std::nullopt}};
  }
  std::shared_ptr<const crd::Network> Get(const std::string&) const override {
    return std::make_shared<crd::Network>(network_);
  }
  std::shared_ptr<const crd::Network> Network(const std::string& name) const override {
    return Get(name);
  }
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string&) const override {
    return std::make_shared<crd::VirtualMachine>(vm_);
  }
  Status AddFinalizer(const crd::Network&) override {
    network_.metadata.AddFinalizer(network::kFinalizer);
    return OkStatus();
  }
  Status RemoveFinalizer(const crd::Network&) override {
    network_.metadata.RemoveFinalizer(network::kFinalizer);
    return OkStatus();
  }
  void Report(const crd::Network&, const crd::NetworkStatus& status) override { status_ = status; }

  crd::Network network_;
  crd::VirtualMachine vm_;
  crd::NetworkStatus status_;
};

// What the tap loop asks of its drivers.
class Calls final : public drivers::CallHook {
 public:
  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>&) override {
    (call.mutates ? changes : looks).push_back(fmt::format("{}.{}", call.driver, call.op));
    return std::nullopt;
  }
  std::optional<Error> After(const drivers::CallInfo&, const Error*) override {
    return std::nullopt;
  }
  std::vector<std::string> changes;
  std::vector<std::string> looks;
};

// Every loop on the kernel of the calling thread's namespace.
class Loops {
 public:
  Loops() {
    ledger::Options options;
    options.path = ":memory:";
    ledger_ = std::move(ledger::Ledger::Open(options, RealClock(), SystemRng())).value();
    host_ = std::make_unique<host::HostReconciler>(
        *ledger_, host::Drivers{*links, *qdiscs, *routes, sysctls, *identities}, orphans_,
        host::Options{.host_name = "h", .object = {}, .known = {}, .report = {}});
    network_ = std::make_unique<network::NetworkReconciler>(
        *ledger_, objects, network::Drivers{*links, *routes, sysctls, *firewall, *forwarding}, "h");
    tap::Options tap_options;
    tap_options.deletion_threads = 0;
    tap_ = std::make_unique<tap::TapReconciler>(
        *ledger_,
        tap::Drivers{hooked_links_, hooked_taps_, hooked_qdiscs_, hooked_identities_,
                     hooked_routes_, hooked_sysctls_, hooked_flows_},
        facts, vmms_, tap_options);
    shaping_ = std::make_unique<shaping::ShapingReconciler>(*ledger_, objects, *qdiscs, facts,
                                                            shaping::Options{});
  }

  // One pass of every loop; shaping before the TAPs, as in a fork, and after them.
  void Pass() {
    Must(host_->Reconcile(host::kKey, {}), "host");
    Must(network_->Reconcile("default", {}), "network");
    Must(shaping_->Reconcile("0", {}), "shaping");
    for (const auto& key : tap_->AllKeys()) Must(tap_->Reconcile(key, {}), "tap");
    Must(shaping_->Reconcile("0", {}), "shaping");
  }

  void TapPass(const ledger::InterfaceLease& lease) {
    Must(tap_->Reconcile(ledger::KeyOf(lease.id), {}), "tap");
  }

  static void Must(const Result<runtime::Next>& result, const char* loop) {
    EXPECT_TRUE(result.ok()) << loop << ": " << result.error().message;
  }

  ledger::VmLease Claim(const std::string& name) {
    ledger::VmClaim claim{.owner = {"uid-" + name, "default", name}};
    claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = "net"}};
    auto lease = ledger_->Claim(claim);
    EXPECT_TRUE(lease.ok()) << lease.error().message;
    return *lease;
  }

  Objects objects;
  std::unique_ptr<netlink::NetlinkLinkDriver> links = *netlink::NetlinkLinkDriver::Open();
  std::unique_ptr<netlink::NetlinkRouteDriver> routes = *netlink::NetlinkRouteDriver::Open();
  std::unique_ptr<netlink::NetlinkTapDriver> taps = *netlink::NetlinkTapDriver::Open();
  std::unique_ptr<netlink::NetlinkQdiscDriver> qdiscs = *netlink::NetlinkQdiscDriver::Open();
  std::unique_ptr<bpf::BpfIdentityDriver> identities =
      *bpf::BpfIdentityDriver::Open({{}, drivers::RedirectMode::kBpf});
  std::unique_ptr<nftables::NftFirewallDriver> firewall = *nftables::NftFirewallDriver::Open();
  std::unique_ptr<netlink::NetlinkFlowDriver> flows = *netlink::NetlinkFlowDriver::Open();
  std::unique_ptr<nftables::NftForwardingProbe> forwarding = testing::OpenForwardingProbe();
  netlink::ProcSysctlDriver sysctls;
  runtime::InterfaceFactBoard facts;
  runtime::VmmFactBoard vmms_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<network::NetworkReconciler> network_;
  Calls calls;

 private:
  drivers::HookedLinkDriver hooked_links_{*links, calls};
  drivers::HookedTapDriver hooked_taps_{*taps, calls};
  drivers::HookedQdiscDriver hooked_qdiscs_{*qdiscs, calls};
  drivers::HookedIdentityDriver hooked_identities_{*identities, calls};
  drivers::HookedRouteDriver hooked_routes_{*routes, calls};
  drivers::HookedSysctlDriver hooked_sysctls_{sysctls, calls};
  drivers::HookedFlowDriver hooked_flows_{*flows, calls};
  runtime::OrphanFactBoard orphans_;
  std::unique_ptr<host::HostReconciler> host_;
  std::unique_ptr<tap::TapReconciler> tap_;
  std::unique_ptr<shaping::ShapingReconciler> shaping_;
};

void ExpectStands(Loops& loops, const ledger::InterfaceLease& lease) {
  const std::uint32_t index = TapIndex(lease.number);
  const auto link = *loops.links->Observe(index);
  ASSERT_TRUE(link.has_value());
  EXPECT_TRUE(link->up && link->isolated);
  EXPECT_EQ(link->master, BridgeIndex(0));
  const auto port = *loops.qdiscs->ObservePort(index);
  ASSERT_TRUE(port.clsact && port.root && port.root->tbf);
  EXPECT_EQ(port.root->tbf->rate_bytes_per_second, 6'250'000u);
  const drivers::AttachedPrograms ours = {drivers::ProgramState::kOurs,
                                          drivers::ProgramState::kOurs};
  EXPECT_EQ(*loops.identities->ObservePrograms(index), ours);
  EXPECT_THAT(*loops.routes->ListHostRoutes(BridgeIndex(0)), ::testing::Contains(lease.address));
  const auto uplink = *loops.qdiscs->ObserveUplink(IfbIndex(0));
  const bool shaped = std::any_of(
      uplink.classes.begin(), uplink.classes.end(), [&](const drivers::ObservedClass& is) {
        return is.htb.minor == MinorOf(lease.number) && is.htb.rate_bytes_per_second == 1'250'000 &&
               is.leaf.has_value();
      });
  EXPECT_TRUE(shaped);
  const auto fact = loops.facts.Get(ledger::KeyOf(lease.id));
  ASSERT_TRUE(fact.has_value());
  EXPECT_TRUE(fact->ready) << fact->reason;
  EXPECT_TRUE(fact->shaped) << fact->shaped_reason;
}

void RunAll() {
  Loops loops;
  loops.Pass();
  std::vector<ledger::InterfaceLease> leases;
  for (const char* name : {"a", "b", "c"}) leases.push_back(loops.Claim(name).interfaces.at(0));
  loops.Pass();
  for (const auto& lease : leases) ExpectStands(loops, lease);
  EXPECT_TRUE(crd::IsTrue(loops.objects.status_.conditions, crd::condition::kReady));

  // What others delete comes back.
  ASSERT_TRUE(loops.qdiscs->DeleteClass(IfbIndex(0), MinorOf(leases[0].number)).ok());
  ASSERT_TRUE(loops.links->Delete(TapIndex(leases[1].number)).ok());
  ASSERT_TRUE(loops.routes->DeleteHostRoute(BridgeIndex(0), leases[2].address).ok());
  loops.Pass();
  for (const auto& lease : leases) ExpectStands(loops, lease);
  ASSERT_TRUE(loops.links->Delete(IfbIndex(0)).ok());
  ASSERT_TRUE(loops.links->Delete(BridgeIndex(0)).ok());
  loops.Pass();
  for (const auto& lease : leases) ExpectStands(loops, lease);

  // A change of the spec is applied live.
  loops.objects.vm_.spec.interfaces[0].bandwidth->upload->rate = crd::Quantity::Of("80M");
  loops.Pass();
  const auto fact = loops.facts.Get(ledger::KeyOf(leases[0].id));
  EXPECT_EQ(fact->upload_rate_bits_per_second, 80'000'000u);
  loops.objects.network_.spec.dns = {"1.1.1.1", "9.9.9.9", "8.8.8.8"};
  loops.Pass();
  for (const auto& lease : leases) {
    const auto entry = **loops.identities->ObserveEntry(TapIndex(lease.number));
    EXPECT_THAT(entry.dns, ::testing::ElementsAre(Ipv4{0x01010101}, Ipv4{0x09090909}));
    EXPECT_EQ(entry.prefix_length, 24);
    EXPECT_EQ(entry.mtu, 1500);
  }

  // A release leaves nothing.
  for (const char* owner : {"uid-a", "uid-b", "uid-c"}) {
    ASSERT_TRUE(loops.ledger_->Release(owner).ok());
  }
  loops.Pass();
  EXPECT_TRUE(loops.ledger_->ListAll().vms.empty());
  EXPECT_EQ(loops.qdiscs->ObserveUplink(IfbIndex(0))->classes.size(), 2u) << "root and default";
  EXPECT_TRUE(loops.identities->ListEntries()->empty());
  EXPECT_TRUE(loops.routes->ListHostRoutes(BridgeIndex(0))->empty());
  loops.objects.network_.metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
  Loops::Must(loops.network_->Reconcile("default", {}), "network");
  EXPECT_FALSE(loops.objects.network_.metadata.HasFinalizer(network::kFinalizer));
  EXPECT_EQ(loops.firewall->Observe()->has_value(), false);
  const auto owned = *loops.links->ListOwned();
  ASSERT_EQ(owned.size(), 1u) << "the IFB stays";
  EXPECT_EQ(owned[0].index, IfbIndex(0));
}

TEST(LoopsTest, RaiseHealAndRemoveOnTheRealKernel) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(RunAll);
}

struct Cost {
  std::vector<std::string> changes;
  std::vector<std::string> looks;
  netlink::Traffic traffic;
};

// What one more interface costs from its lease to ready, with so many others on the host.
Cost CostOfOneMore(int others) {
  Loops loops;
  loops.Pass();
  for (int i = 0; i < others; ++i) loops.Claim(fmt::format("other-{}", i));
  loops.Pass();
  const ledger::InterfaceLease lease = loops.Claim("one-more").interfaces.at(0);
  loops.calls.changes.clear();
  loops.calls.looks.clear();
  const netlink::Traffic before = netlink::TrafficSoFar();
  loops.TapPass(lease);
  const netlink::Traffic after = netlink::TrafficSoFar();
  EXPECT_TRUE(loops.facts.Get(ledger::KeyOf(lease.id))->ready);
  return {loops.calls.changes,
          loops.calls.looks,
          {after.requests - before.requests, after.answers - before.answers}};
}

// A fork waits for this: what is made, each thing by one call; a look that finds nothing of it yet;
// and a look that sees it all. Neither grows with what else is there.
TEST(LoopsTest, WhatAnInterfaceAsksOfTheKernelDoesNotGrowWithTheirNumber) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  Cost few;
  Cost many;
  testing::RunInNetworkNamespace([&] { few = CostOfOneMore(1); });
  testing::RunInNetworkNamespace([&] { many = CostOfOneMore(50); });
  EXPECT_THAT(few.changes,
              ::testing::ElementsAre("identity.set_entry", "tap.create", "qdisc.add_clsact",
                                     "sysctl.disable_ipv6", "qdisc.add_tbf", "link.set_master",
                                     "identity.attach", "identity.attach", "link.set_port_up",
                                     "route.add_host_route", "route.set_neighbour"));
  EXPECT_THAT(few.looks,
              ::testing::ElementsAre(
                  "link.observe", "tap.observe_file", "identity.observe_entry", "link.observe",
                  "route.has_host_route", "route.observe_neighbour",  // nothing yet but a bridge
                  "link.observe", "tap.observe_file", "identity.observe_entry",
                  "identity.observe_programs", "sysctl.ipv6_disabled", "qdisc.has_tbf",
                  "link.observe", "route.has_host_route", "route.observe_neighbour"));
  EXPECT_EQ(many.changes, few.changes);
  EXPECT_EQ(many.looks, few.looks);
  EXPECT_EQ(many.traffic, few.traffic)
      << few.traffic.requests << " requests, " << few.traffic.answers << " answers with 1 other, "
      << many.traffic.requests << " and " << many.traffic.answers << " with 50";
}

// Its TAP goes with the daemon that made it, and no process has its file.
TEST(LoopsTest, TheTapOfARunningMachineWithoutAProcessIsMadeAnewAfterARestart) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([] {
    Loops loops;
    loops.Pass();
    const ledger::InterfaceLease lease = loops.Claim("a").interfaces.at(0);
    loops.Pass();
    const ledger::VmmRecord record{1 << 23, 7, "boot", "forkplane/uid-a"};
    ASSERT_TRUE(loops.ledger_->SetVmm("uid-a", record).ok());
    ASSERT_TRUE(loops.taps->Forget(lease.number).ok());
    loops.vmms_.Publish("uid-a", {.pid = 1 << 23, .running = true, .holds_taps = false});
    loops.Pass();
    ExpectStands(loops, lease);
  });
}

TEST(LoopsTest, ACidrThatOverlapsARouteChangesNothing) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([] {
    Loops loops;
    // A route that is not ours: an IFB plays the foreign link.
    ASSERT_TRUE(loops.links->CreateIfb({9, "foreign"}).ok());
    ASSERT_TRUE(loops.links->SetUp(IfbIndex(9), true).ok());
    ASSERT_TRUE(loops.routes->AddAddress(IfbIndex(9), ParsePrefix("10.77.0.129/25").value()).ok());
    Loops::Must(loops.network_->Reconcile("default", {}), "network");
    const auto* conflict =
        crd::FindCondition(loops.objects.status_.conditions, crd::condition::kConflict);
    ASSERT_NE(conflict, nullptr);
    EXPECT_THAT(conflict->message,
                ::testing::HasSubstr("overlaps the route 10.77.0.128/25 dev fkifb9"));
    EXPECT_EQ(loops.ledger_->GetNetwork("net"), std::nullopt);
    EXPECT_EQ(loops.links->Observe(BridgeIndex(0))->has_value(), false);
  });
}

}  // namespace
}  // namespace forkplane
