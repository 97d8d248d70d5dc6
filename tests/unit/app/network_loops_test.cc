// Goal: which change comes to which loop at once, and which is gathered first. Method: everything
// wired as in the daemon, over an in-memory host; no worker runs, so the queues show what came.
#include "controller/app/network_loops.h"

#include <gtest/gtest.h>

#include "drivers/fake/drivers.h"
#include "tests/support/memory_ledger.h"
#include "tests/support/store_world.h"

namespace forkplane::app {
namespace {

class NetworkLoopsTest : public ::testing::Test {
 protected:
  NetworkLoopsTest() {
    drivers_.links = &links_;
    drivers_.taps = &taps_;
    drivers_.qdiscs = &qdiscs_;
    drivers_.routes = &routes_;
    drivers_.sysctls = &sysctls_;
    drivers_.identities = &identities_;
    drivers_.firewall = &firewall_;
    drivers_.flows = &flows_;
    drivers_.forwarding = &forwarding_;
    drivers_.events = &events_;
    ledger_ = testing::MemoryLedgerWith(testing::NetworkOf(), world_.clock, world_.rng);
    statuses_ = std::make_unique<runtime::StatusWriter>(*world_.store, world_.clock, metrics_,
                                                        runtime::StatusWriter::Options{});
    informers_ = std::make_unique<Informers>(*world_.store);
    loops_ = std::make_unique<NetworkLoops>(LoopNeeds{options_, *world_.store, *ledger_, drivers_,
                                                      *informers_, boards_, *statuses_,
                                                      world_.clock, world_.rng, metrics_});
    loops_->Attach();
  }

  void Claim(const std::string& uid) {
    ledger::VmClaim claim{.owner = {uid, "default", uid}};
    claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = "net"}};
    claim.slot_pool = "simulated";
    EXPECT_TRUE(ledger_->Claim(claim).ok());
  }
  runtime::WorkQueue& Queue(const std::string& name) {
    for (runtime::Controller* controller : loops_->Controllers()) {
      if (controller->name() == name) return controller->queue();
    }
    ADD_FAILURE() << name;
    return loops_->Controllers().front()->queue();
  }
  // How many keys are due now; takes them.
  int Due(const std::string& name) {
    int keys = 0;
    while (const auto key = Queue(name).TryGet()) {
      Queue(name).Done(*key);
      ++keys;
    }
    return keys;
  }

  testing::StoreWorld world_;
  metrics::Registry metrics_;
  fake::FakeKernel kernel_;
  fake::FakeLinkDriver links_{kernel_};
  fake::FakeTapDriver taps_{kernel_};
  fake::FakeQdiscDriver qdiscs_{kernel_};
  fake::FakeRouteDriver routes_{kernel_};
  fake::FakeSysctlDriver sysctls_{kernel_};
  fake::FakeIdentityDriver identities_{kernel_, drivers::RedirectMode::kBpf};
  fake::FakeFirewallDriver firewall_{kernel_};
  fake::FakeFlowDriver flows_{kernel_};
  fake::FakeForwardingProbe forwarding_{kernel_};
  fake::FakeLinkEvents events_{kernel_};
  Options options_;
  HostDrivers drivers_;
  Boards boards_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<Informers> informers_;
  std::unique_ptr<runtime::StatusWriter> statuses_;
  std::unique_ptr<NetworkLoops> loops_;
};

// A lease makes its TAP at once, and the TAP its class; the counts in the statuses of Network and
// Host can wait, and are counted once for all leases of a burst.
TEST_F(NetworkLoopsTest, ABurstOfLeasesIsOnePassOfTheNetworkAndOneOfTheHost) {
  for (int i = 0; i < 25; ++i) Claim(fmt::format("vm-{}", i));
  EXPECT_EQ(Due("tap"), 25);
  EXPECT_EQ(Due("shaping"), 0);
  EXPECT_EQ(Due("network"), 0);
  EXPECT_EQ(Due("host"), 0);
  world_.clock.Advance(std::chrono::milliseconds(50));
  EXPECT_EQ(Due("network"), 1);
  EXPECT_EQ(Due("host"), 1);
  world_.clock.Advance(std::chrono::seconds(60));
  EXPECT_EQ(Due("network") + Due("host") + Due("tap") + Due("shaping"), 0);
}

// Of the facts only those that a shaping pass can do something about: a TAP that is ready and not
// shaped. In a burst, shaping is ahead of the tap loop with some: those would wake it again.
TEST_F(NetworkLoopsTest, WhatShapingSaysItselfDoesNotWakeIt) {
  Claim("vm");
  const std::string key = ledger::KeyOf(ledger_->GetVm("vm")->interfaces.at(0).id);
  boards_.interfaces.Publish(key, {.reason = "WaitingForNetwork"});
  EXPECT_EQ(Due("shaping"), 0);
  boards_.interfaces.Publish(key, {.ready = true});
  EXPECT_EQ(Due("shaping"), 1);
  boards_.interfaces.Publish(key, {.ready = true, .shaped = true});
  EXPECT_EQ(Due("shaping"), 0);
  boards_.interfaces.Publish(key, {.ready = false, .shaped = true});
  EXPECT_EQ(Due("shaping"), 0);
}

}  // namespace
}  // namespace forkplane::app
