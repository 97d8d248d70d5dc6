// Goal: what a host lacks is in its NetworkReady: which thing, and the command that mends it; and
// all the rest is made all the same. Method: an in-memory host whose drivers refuse one call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "controller/base/rng.h"
#include "drivers/fake/drivers.h"
#include "drivers/hooked/network.h"
#include "reconcilers/host/reconciler.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::host {
namespace {

using ::testing::HasSubstr;

// Refuses one call as the kernel would.
class Refusal final : public drivers::CallHook {
 public:
  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>&) override {
    if (op.empty() || op != call.op) return std::nullopt;
    return FromErrno(error, call.op);
  }
  std::optional<Error> After(const drivers::CallInfo&, const Error*) override {
    return std::nullopt;
  }
  std::string op;
  int error = 0;
};

class HostStatusTest : public ::testing::Test {
 protected:
  HostStatusTest() {
    ledger_ = testing::MemoryLedger(RealClock(), rng_);
    Open(identities_);
    kernel_.Change([](fake::State& state) {
      state.uplink = drivers::Uplink{2, "eth0", 10'000'000'000};
      return true;
    });
  }

  void Open(fake::FakeIdentityDriver& identities) {
    Options options;
    options.host_name = "h";
    options.object = [this] { return std::make_shared<crd::Host>(object_); };
    options.report = [this](const crd::Host&, const crd::HostStatus& status) { status_ = status; };
    options.moved = [this] { ++moved_; };
    options.conditions = &conditions_;
    options.uplinks = &uplinks_;
    options.known = [this] { return known_; };
    options.compute = &budget_;
    loop_ = std::make_unique<HostReconciler>(
        *ledger_, Drivers{links_, qdiscs_, routes_, sysctls_, identities}, orphans_, options);
  }

  bool Pass() { return loop_->Reconcile(kKey, {}).ok(); }
  crd::Condition Of(std::string_view type) {
    const auto* condition = crd::FindCondition(status_.conditions, type);
    return condition == nullptr ? crd::Condition{} : *condition;
  }
  bool IfbIsUp() {
    return kernel_.Change([](fake::State& state) {
      const auto* ifb = fake::Find(state, IfbIndex(0));
      return ifb != nullptr && ifb->link.up;
    });
  }

  SeededRng rng_{1};
  std::unique_ptr<ledger::Ledger> ledger_;
  fake::FakeKernel kernel_;
  Refusal refusal_;
  fake::FakeLinkDriver inner_links_{kernel_};
  fake::FakeQdiscDriver inner_qdiscs_{kernel_};
  fake::FakeSysctlDriver inner_sysctls_{kernel_};
  drivers::HookedLinkDriver links_{inner_links_, refusal_};
  drivers::HookedQdiscDriver qdiscs_{inner_qdiscs_, refusal_};
  drivers::HookedSysctlDriver sysctls_{inner_sysctls_, refusal_};
  fake::FakeRouteDriver routes_{kernel_};
  fake::FakeIdentityDriver identities_{kernel_, drivers::RedirectMode::kBpf};
  runtime::OrphanFactBoard orphans_;
  runtime::HostConditionBoard conditions_;
  runtime::UplinkFactBoard uplinks_;
  runtime::ComputeBudget budget_;
  crd::HostStatus known_;
  crd::Host object_;
  crd::HostStatus status_;
  int moved_ = 0;
  std::unique_ptr<HostReconciler> loop_;
};

TEST_F(HostStatusTest, AnUplinkThatIsNotThereIsNamed) {
  object_.spec.uplinks = {{"eth0", {}}, {"eth9", {}}};
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).status, crd::ConditionStatus::kFalse);
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "UplinkNotFound");
  EXPECT_THAT(Of(crd::condition::kNetworkReady).message,
              HasSubstr("spec.uplinks[1].interface: this host has no link \"eth9\": name one"));
  EXPECT_TRUE(IfbIsUp());
  object_.spec.uplinks.pop_back();
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "Converged");
}

// What rtnetlink answers to a kind that no module offers; for a qdisc it is what also means that
// the link went, so it comes after several looks.
TEST_F(HostStatusTest, AModuleThatIsMissingIsNamed) {
  const auto expect = [&](const char* op, int error, const char* module) {
    refusal_.op = op;
    refusal_.error = error;
    EXPECT_FALSE(Pass());
    EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "KernelFeatureMissing") << op;
    EXPECT_THAT(Of(crd::condition::kNetworkReady).message, HasSubstr(module));
  };
  expect("create_ifb", EOPNOTSUPP, "load module ifb (CONFIG_IFB)");
  expect("add_htb", ENOENT, "load module sch_htb (CONFIG_NET_SCH_HTB)");
  refusal_.op.clear();
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "Converged");
}

// Upload shaped on the uplink: which may be missing, taken, or another than before.
TEST_F(HostStatusTest, AnUplinkToShapeOnIsMissedTakenAndFollowed) {
  fake::FakeIdentityDriver marking(kernel_, drivers::RedirectMode::kMark);
  Open(marking);
  const auto change = [&](const std::function<void(fake::State&)>& body) {
    kernel_.Change([&](fake::State& state) {
      body(state);
      return true;
    });
  };
  change([](fake::State& state) {
    for (const std::uint32_t index : {2U, 3U}) state.links[index].link.index = index;
    state.uplink.reset();
  });
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "UplinkNotFound");
  EXPECT_THAT(Of(crd::condition::kNetworkReady).message, HasSubstr("no default route"));
  EXPECT_EQ(moved_, 0);

  change([](fake::State& state) { state.uplink = drivers::Uplink{2, "eth0", 10'000'000'000}; });
  EXPECT_TRUE(Pass());
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "Converged");
  EXPECT_EQ(status_.kernel->redirect, "mark");
  EXPECT_EQ(moved_, 1);

  change([](fake::State& state) {
    state.uplink->index = 3;
    state.links[3].root = drivers::ObservedRoot{"fq", 0x80010000, {}, 0, {}};
  });
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "UplinkTaken");
  EXPECT_THAT(Of(crd::condition::kNetworkReady).message, HasSubstr("fq 8001:"));
  EXPECT_THAT(Of(crd::condition::kNetworkReady).message, HasSubstr("tc qdisc del dev eth0 root"));
  EXPECT_EQ(uplinks_.Get("h")->unshaped, "eth0") << "nothing of guests may leave there";
  EXPECT_EQ(moved_, 2);
  change([](fake::State& state) {
    EXPECT_FALSE(state.links[2].root.has_value()) << "the former uplink is left as it was";
    EXPECT_EQ(state.links[3].root->kind, "fq");
  });

  // Without a route the last link stays shaped: some guests may still use it.
  change([](fake::State& state) { state.links[3].root.reset(); });
  EXPECT_TRUE(Pass());
  EXPECT_EQ(uplinks_.Get("h")->unshaped, "");
  change([](fake::State& state) { state.uplink.reset(); });
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "UplinkNotFound");
  EXPECT_EQ(qdiscs_.ObserveUplink(IfbIndex(0))->classes.size(), 3u);
  EXPECT_EQ(moved_, 2);
}

TEST_F(HostStatusTest, WhatMayBePromisedIsShownBesideWhatIs) {
  known_.capacity["cpu"] = crd::Quantity::FromDecimal(4);
  known_.capacity["memory"] = crd::Quantity::FromBytes(1 << 30);
  object_.spec.overcommit.cpu = 1.5;
  object_.spec.overcommit.network = 2;
  budget_.Hold("uid", {3, 1 << 20, 80'000'000});
  EXPECT_TRUE(Pass());
  EXPECT_EQ(status_.allocatable["cpu"].Text(), "6");
  EXPECT_EQ(status_.allocatable["upload"].Value(), 20'000'000'000) << "twice the uplink";
  EXPECT_FALSE(status_.allocatable.contains("memory")) << "not bounded";
  EXPECT_EQ(status_.allocated["cpu"].Text(), "3");
  EXPECT_EQ(status_.allocated["memory"].Text(), "1Mi");
  EXPECT_EQ(status_.allocated["upload"].Value(), 80'000'000);
}

TEST_F(HostStatusTest, WhoTakesNoMachinesSaysSoAndHowManyAreLeft) {
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kSchedulable).status, crd::ConditionStatus::kTrue);
  EXPECT_EQ(Of(crd::condition::kDrained).type, "") << "nobody asked for it";

  object_.spec.unschedulable = true;
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kSchedulable).reason, "HostUnschedulable");
  EXPECT_EQ(Of(crd::condition::kSchedulable).status, crd::ConditionStatus::kFalse);

  object_.spec.drain = crd::Drain::kStop;
  budget_.Hold("one", {1, 1, 0});
  budget_.Hold("two", {1, 1, 0});
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kSchedulable).reason, "HostDrained");
  EXPECT_EQ(Of(crd::condition::kDrained).status, crd::ConditionStatus::kFalse);
  EXPECT_EQ(Of(crd::condition::kDrained).message, "2 machines are still to be stopped");
  budget_.Free("two");
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kDrained).message, "1 machine is still to be stopped");
  budget_.Free("one");
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kDrained).status, crd::ConditionStatus::kTrue);
}

TEST_F(HostStatusTest, AnotherRefusalIsNotBlamedOnForwarding) {
  refusal_.op = "add_htb";
  refusal_.error = EBUSY;
  EXPECT_FALSE(Pass());
  EXPECT_EQ(uplinks_.Get("h")->upload_bits_per_second, 10'000'000'000) << "known all the same";
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "Retrying");
  EXPECT_THAT(Of(crd::condition::kNetworkReady).message, HasSubstr("AddHtb"));
  refusal_.op.clear();
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(crd::condition::kNetworkReady).reason, "Converged");
}

TEST_F(HostStatusTest, AConditionOfAnotherRoomStandsBesideOursUntilItIsRetracted) {
  const std::string type(crd::condition::kManifestsHeld);
  conditions_.Publish(type, {"DocumentRefused", "a.yaml:1"});
  EXPECT_TRUE(Pass());
  EXPECT_EQ(Of(type).status, crd::ConditionStatus::kTrue);
  EXPECT_EQ(Of(type).reason, "DocumentRefused");
  EXPECT_EQ(Of(type).message, "a.yaml:1");
  EXPECT_EQ(Of(crd::condition::kReady).status, crd::ConditionStatus::kTrue);
  conditions_.Retract(type);
  EXPECT_TRUE(Pass());
  EXPECT_EQ(crd::FindCondition(status_.conditions, type), nullptr);
}

}  // namespace
}  // namespace forkplane::host
