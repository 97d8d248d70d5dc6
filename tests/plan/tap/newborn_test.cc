// Goal: a fork waits for creations only: the first pass of an interface leased by this process asks
// the kernel nothing; whatever is not as it should be is found all the same. Method: the loop over
// the fakes, each call written down.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/support/fake_drivers.h"
#include "tests/support/memory_ledger.h"

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
    ledger_ = testing::MemoryLedgerWith(testing::NetworkOf(), RealClock(), rng_);
    old_ = Claim("old");
    Options no_threads;
    no_threads.deletion_threads = 0;
    loop_ = std::make_unique<TapReconciler>(
        *ledger_,
        Drivers{hooked_.links, hooked_.taps, hooked_.qdiscs, hooked_.identities, hooked_.routes,
                hooked_.sysctls, drivers_.flows},
        facts_, vmms_, no_threads);
  }

  ledger::InterfaceLease Claim(const std::string& uid) {
    return testing::ClaimOne(*ledger_, uid, uid);
  }
  void RaiseBridge() {
    ASSERT_TRUE(drivers_.links.CreateBridge({0, kGatewayMac, "net", kMtuDefault}).ok());
    ASSERT_TRUE(drivers_.links.SetUp(BridgeIndex(0), true).ok());
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
  testing::FakeDrivers drivers_{kernel_};
  testing::HookedDrivers hooked_{drivers_, calls_};
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
  ASSERT_TRUE(drivers_.links.CreateBridge({0, kGatewayMac, "net", kMtuDefault}).ok());
  const auto second = Claim("b");
  EXPECT_EQ(Pass(second), "WaitingForNetwork") << "there and down";
  ASSERT_TRUE(drivers_.links.SetUp(BridgeIndex(0), true).ok());
  EXPECT_EQ(Pass(lease), "ready");
  EXPECT_EQ(Pass(second), "ready");
}

TEST_F(NewbornTest, AForeignLinkInItsPlaceIsFound) {
  RaiseBridge();
  const auto lease = Claim("a");
  ASSERT_TRUE(drivers_.taps.Create({.number = lease.number, .alias = "other"}).ok());
  EXPECT_EQ(Pass(lease), "ready");
  EXPECT_THAT(calls_.looks, Contains("link.observe"));
  EXPECT_EQ(drivers_.links.Observe(TapIndex(lease.number))->value().alias, "a");
}

TEST_F(NewbornTest, AVmOnRecordIsNotGivenANewDevice) {
  RaiseBridge();
  const auto lease = Claim("a");
  ASSERT_TRUE(ledger_->SetVmm("a", {7, 8, "boot", "x"}).ok());
  EXPECT_EQ(Pass(lease), "WaitingForVmm");
  EXPECT_EQ(drivers_.links.Observe(TapIndex(lease.number))->has_value(), false);
}

}  // namespace
}  // namespace forkplane::tap
