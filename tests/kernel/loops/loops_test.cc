// Goal: the four loops together, on the real kernel: three leases appear with all they need, what
// others delete comes back, and a release leaves nothing.
// Method: a network namespace of its own; the loops are run pass by pass, without threads, so that
// every step is certain; what is there is read with the drivers, not from what the loops reported.
// What a pass asks of the kernel is counted at the drivers' doors and in messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernel/loops/loops.h"

namespace forkplane {
namespace {

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
  EXPECT_THAT(*loops.routes->ListHostRoutes(BridgeIndex(0)),
              ::testing::ElementsAre(ParseIpv4("10.77.0.2").value()))
      << "that of the forwarding probe";
  const Ipv4Prefix cidr = ParsePrefix("10.77.0.0/24").value();
  EXPECT_TRUE(loops.routes->ObserveCidr(BridgeIndex(0), cidr)->blackhole);
  loops.objects.network_.metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
  Loops::Must(loops.network_->Reconcile("default", {}), "network");
  EXPECT_FALSE(loops.objects.network_.metadata.HasFinalizer(network::kFinalizer));
  EXPECT_EQ(*loops.routes->ObserveCidr(BridgeIndex(0), cidr), drivers::CidrRoutes());
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

// A fork waits for this: what is made, each thing by one call, and no look at all. Nothing of it
// grows with what else is there.
TEST(LoopsTest, WhatAnInterfaceAsksOfTheKernelDoesNotGrowWithTheirNumber) {  // W13
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  Cost few;
  Cost many;
  testing::RunInNetworkNamespace([&] { few = CostOfOneMore(1); });
  testing::RunInNetworkNamespace([&] { many = CostOfOneMore(50); });
  EXPECT_THAT(few.changes,
              ::testing::ElementsAre("identity.set_entry", "tap.create", "qdisc.add_clsact",
                                     "sysctl.disable_ipv6", "qdisc.add_tbf", "route.add_host_route",
                                     "route.set_neighbour", "link.set_master", "identity.attach",
                                     "identity.attach", "link.set_port_up"));
  EXPECT_THAT(few.looks, ::testing::IsEmpty());
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
    ASSERT_TRUE(loops.routes->AddHostRoute(IfbIndex(9), ParseIpv4("10.77.0.129").value()).ok());
    Loops::Must(loops.network_->Reconcile("default", {}), "network");
    const auto* conflict =
        crd::FindCondition(loops.objects.status_.conditions, crd::condition::kConflict);
    ASSERT_NE(conflict, nullptr);
    EXPECT_THAT(conflict->message,
                ::testing::HasSubstr("overlaps the route 10.77.0.129/32 dev fkifb9"));
    EXPECT_EQ(loops.ledger_->GetNetwork("net"), std::nullopt);
    EXPECT_EQ(loops.links->Observe(BridgeIndex(0))->has_value(), false);
  });
}

}  // namespace
}  // namespace forkplane
