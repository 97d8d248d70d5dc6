// Goal: a fork waits for creations only: the first pass of an interface leased by this process asks
// the kernel nothing; whatever is not as it should be is found all the same. Method: the loop over
// the fakes, each call written down.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "drivers/fake/drivers.h"
#include "drivers/hooked_network.h"
#include "reconcilers/tap/reconciler.h"

namespace forkplane::tap {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Recorder final : public drivers::CallHook {
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

class NewbornTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ledger::Options options;
    options.path = ":memory:";
    options.boot_id = "boot";
    ledger_ = std::move(ledger::Ledger::Open(options, RealClock(), rng_)).value();
    ledger::NetworkParameters network;
    network.uid = "net";
    network.name = "default";
    network.cidr = *ParseCidr("10.77.0.0/16");
    network.gateway = DefaultGateway(network.cidr);
    ASSERT_TRUE(ledger_->ClaimNetwork(network).ok());
    old_ = Claim("old");
    Options no_threads;
    no_threads.deletion_threads = 0;
    loop_ = std::make_unique<TapReconciler>(
        *ledger_,
        Drivers{hooked_links_, hooked_taps_, hooked_qdiscs_, hooked_identities_, hooked_routes_,
                hooked_sysctls_, flows_},
        facts_, vmms_, no_threads);
  }

  ledger::InterfaceLease Claim(const std::string& uid) {
    ledger::VmClaim claim{.owner = {uid, "default", uid}};
    claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = "net"}};
    return ledger_->Claim(claim)->interfaces.at(0);
  }
  void RaiseBridge() {
    ASSERT_TRUE(links_.CreateBridge({0, kGatewayMac, "net", kMtuDefault}).ok());
    ASSERT_TRUE(links_.SetUp(BridgeIndex(0), true).ok());
  }
  std::string Pass(const ledger::InterfaceLease& lease) {
    calls_ = Recorder();
    const auto done = loop_->Reconcile(ledger::KeyOf(lease.id), {});
    if (!done.ok()) return done.error().message;
    const auto facts = facts_.Get(ledger::KeyOf(lease.id));
    return facts->ready ? "ready" : facts->reason;
  }

  SeededRng rng_{1};
  std::unique_ptr<ledger::Ledger> ledger_;
  fake::FakeKernel kernel_;
  Recorder calls_;
  fake::FakeLinkDriver links_{kernel_};
  fake::FakeTapDriver taps_{kernel_};
  fake::FakeQdiscDriver qdiscs_{kernel_};
  fake::FakeIdentityDriver identities_{kernel_, drivers::RedirectMode::kBpf};
  fake::FakeRouteDriver routes_{kernel_};
  fake::FakeSysctlDriver sysctls_{kernel_};
  fake::FakeFlowDriver flows_{kernel_};
  drivers::HookedLinkDriver hooked_links_{links_, calls_};
  drivers::HookedTapDriver hooked_taps_{taps_, calls_};
  drivers::HookedQdiscDriver hooked_qdiscs_{qdiscs_, calls_};
  drivers::HookedIdentityDriver hooked_identities_{identities_, calls_};
  drivers::HookedRouteDriver hooked_routes_{routes_, calls_};
  drivers::HookedSysctlDriver hooked_sysctls_{sysctls_, calls_};
  runtime::InterfaceFactBoard facts_;
  runtime::VmmFactBoard vmms_;
  ledger::InterfaceLease old_;
  std::unique_ptr<TapReconciler> loop_;
};

TEST_F(NewbornTest, NothingIsAskedBeforeItIsReady) {
  RaiseBridge();
  const auto lease = Claim("a");
  EXPECT_EQ(Pass(lease), "ready");
  EXPECT_THAT(calls_.looks, IsEmpty());
  EXPECT_THAT(
      calls_.changes,
      ElementsAre("identity.set_entry", "tap.create", "qdisc.add_clsact", "sysctl.disable_ipv6",
                  "qdisc.add_tbf", "route.add_host_route", "route.set_neighbour", "link.set_master",
                  "identity.attach", "identity.attach", "link.set_port_up"));
  EXPECT_EQ(Pass(lease), "ready");
  EXPECT_THAT(calls_.looks, Contains("link.observe")) << "the next pass looks";
  EXPECT_THAT(calls_.changes, IsEmpty());
}

// W4: what nobody waits for stands behind it.
TEST_F(NewbornTest, OnlyWhatIsNotReadyYetGoesFirst) {
  RaiseBridge();
  const auto lease = Claim("a");
  const std::string key = ledger::KeyOf(lease.id);
  EXPECT_FALSE(loop_->CanWait(key));
  EXPECT_EQ(Pass(lease), "ready");
  EXPECT_TRUE(loop_->CanWait(key)) << "a resync, or a repair";
  ASSERT_TRUE(ledger_->Release("old").ok());
  EXPECT_TRUE(loop_->CanWait(ledger::KeyOf(old_.id)));
  EXPECT_TRUE(loop_->CanWait("77"));
}

TEST_F(NewbornTest, WhatAnEarlierDaemonMayHaveMadeIsLookedAt) {
  RaiseBridge();
  EXPECT_EQ(Pass(old_), "ready");
  EXPECT_THAT(calls_.looks, Contains("link.observe"));
}

TEST_F(NewbornTest, WithoutABridgeItWaits) {
  const auto lease = Claim("a");
  EXPECT_EQ(Pass(lease), "WaitingForNetwork");
  ASSERT_TRUE(links_.CreateBridge({0, kGatewayMac, "net", kMtuDefault}).ok());
  const auto second = Claim("b");
  EXPECT_EQ(Pass(second), "WaitingForNetwork") << "there and down";
  ASSERT_TRUE(links_.SetUp(BridgeIndex(0), true).ok());
  EXPECT_EQ(Pass(lease), "ready");
  EXPECT_EQ(Pass(second), "ready");
}

TEST_F(NewbornTest, AForeignLinkInItsPlaceIsFound) {
  RaiseBridge();
  const auto lease = Claim("a");
  ASSERT_TRUE(taps_.Create({.number = lease.number, .alias = "other"}).ok());
  EXPECT_EQ(Pass(lease), "ready");
  EXPECT_THAT(calls_.looks, Contains("link.observe"));
  EXPECT_EQ(links_.Observe(TapIndex(lease.number))->value().alias, "a");
}

TEST_F(NewbornTest, AVmOnRecordIsNotGivenANewDevice) {
  RaiseBridge();
  const auto lease = Claim("a");
  ASSERT_TRUE(ledger_->SetVmm("a", {7, 8, "boot", "x"}).ok());
  EXPECT_EQ(Pass(lease), "WaitingForVmm");
  EXPECT_EQ(links_.Observe(TapIndex(lease.number))->has_value(), false);
}

}  // namespace
}  // namespace forkplane::tap
