// Goal: the Forks of a set are written at once, within the bound, and a part that fails is made by
// the next pass. Method: a real store in memory behind a door at which creations wait for one
// another, so that writing one by one would not get through it.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "controller/base/mutex.h"
#include "controller/store/local_object_store.h"
#include "reconcilers/fork_set/reconciler.h"
#include "tests/unit/fork_set/gated_store.h"

namespace forkplane::fork_set {
namespace {

// Callers wait until `together` of them are there. Once one has waited in vain, nobody waits.
class Meeting {
 public:
  explicit Meeting(int together) : together_(together) {}
  void Come() {
    MutexLock lock(mu_);
    most_ = std::max(most_, ++inside_);
    if (inside_ == together_) met_ = true;
    came_.NotifyAll();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    given_up_ |= !came_.WaitUntil(mu_, std::stop_token{}, deadline,
                                  [this]() NO_THREAD_SAFETY_ANALYSIS { return met_ || given_up_; });
    --inside_;
  }
  bool met() {
    MutexLock lock(mu_);
    return met_;
  }
  int most() {
    MutexLock lock(mu_);
    return most_;
  }

 private:
  const int together_;
  Mutex mu_;
  CondVar came_;
  int inside_ GUARDED_BY(mu_) = 0;
  int most_ GUARDED_BY(mu_) = 0;
  bool met_ GUARDED_BY(mu_) = false;
  bool given_up_ GUARDED_BY(mu_) = false;
};

class BurstTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kAtOnce = 8;

  void SetUp() override {
    Make({"", "namespaces"}, "",
         R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})");
    Make({"forkplane.dev", "snapshots"}, "default",
         R"({"apiVersion":"forkplane.dev/v1alpha1","kind":"Snapshot","metadata":{"name":"snap"},
             "spec":{"source":{"virtualMachineName":"base"}}})");
    const store::ObjectKey key{{"forkplane.dev", "snapshots"}, "default", "snap"};
    crd::Snapshot snapshot = crd::Snapshot::FromText((*store_->Get(key))->text).value();
    snapshot.status.phase = crd::SnapshotPhase::kReady;
    ASSERT_TRUE(store_->UpdateStatus(key, snapshot.ToText()).ok());
    Make({"forkplane.dev", "forksets"}, "default",
         R"({"apiVersion":"forkplane.dev/v1alpha1","kind":"ForkSet","metadata":{"name":"s"},
             "spec":{"replicas":25,"template":{"spec":{"source":{"kind":"Snapshot",
             "name":"snap"}}}}})");
  }

  void Make(const store::GroupResource& resource, const std::string& ns, const std::string& text) {
    const auto made = store_->Create(resource, ns, text);
    ASSERT_TRUE(made.ok()) << made.error().message;
  }

  Result<runtime::Next> Pass() {
    static_cast<void>(snapshots_.Step());
    static_cast<void>(vms_.Step());
    static_cast<void>(forks_.Step());
    static_cast<void>(fork_sets_.Step());
    return loop_.Reconcile("default/s", {});
  }
  std::size_t Forks() { return store_->List(kForks, {})->items.size(); }

  ManualClock clock_;
  SeededRng rng_{1};
  metrics::Registry registry_;
  std::unique_ptr<crd::TypeRegistry> types_ = crd::NewTypeRegistry().value();
  std::unique_ptr<store::LocalObjectStore> store_ =
      store::LocalObjectStore::Open(store::NewMemoryLog(rng_), {.types = types_.get()}, clock_,
                                    rng_, registry_)
          .value();
  GatedStore gated_{*store_};
  runtime::Informer<crd::ForkSet> fork_sets_ = InformerOf<crd::ForkSet>(gated_);
  runtime::Informer<crd::Fork> forks_ = InformerOf<crd::Fork>(gated_);
  runtime::Informer<crd::VirtualMachine> vms_ = InformerOf<crd::VirtualMachine>(gated_);
  runtime::Informer<crd::Snapshot> snapshots_ = InformerOf<crd::Snapshot>(gated_);
  runtime::StatusWriter statuses_{gated_, clock_, registry_, {}};
  runtime::EventRecorder events_{gated_, "test", "host-1", clock_, rng_, registry_};
  ForkSetReconciler loop_{
      {gated_, fork_sets_, forks_, vms_, snapshots_, statuses_, events_, clock_, kAtOnce}};
};

TEST_F(BurstTest, ForksAreWrittenAtOnceWithinTheBound) {
  Meeting meeting(kAtOnce);
  gated_.gate = [&](const store::GroupResource&, const std::string&) {
    meeting.Come();
    return OkStatus();
  };
  ASSERT_TRUE(Pass().ok());
  EXPECT_TRUE(meeting.met()) << "they were written one by one";
  EXPECT_LE(meeting.most(), static_cast<int>(kAtOnce));
  EXPECT_EQ(Forks(), 25U);
}

TEST_F(BurstTest, WhatFailsIsMadeByTheNextPassAndNothingTwice) {
  std::atomic<int> asked{0};
  gated_.gate = [&](const store::GroupResource&, const std::string& text) -> Status {
    ++asked;
    if (text.find("\"s-3\"") == std::string::npos) return OkStatus();
    return Unavailable("the disk refused");
  };
  const auto failed = Pass();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, Code::kUnavailable);
  EXPECT_EQ(asked.load(), 25) << "one failure does not keep the others";
  EXPECT_EQ(Forks(), 24U);
  asked = 0;
  gated_.gate = [&](const store::GroupResource&, const std::string&) {
    ++asked;
    return OkStatus();
  };
  ASSERT_TRUE(Pass().ok());
  EXPECT_EQ(asked.load(), 1);
  EXPECT_EQ(Forks(), 25U);
}

TEST_F(BurstTest, ACacheThatIsBehindAnyOfThemIsNotActedOn) {
  ASSERT_TRUE(Pass().ok());
  int asked = 0;
  gated_.gate = [&](const store::GroupResource&, const std::string&) {
    ++asked;
    return OkStatus();
  };
  ASSERT_TRUE(loop_.Reconcile("default/s", {}).ok()) << "without a step of the caches";
  EXPECT_EQ(asked, 0);
}

}  // namespace
}  // namespace forkplane::fork_set
