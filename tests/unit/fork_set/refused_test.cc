// Goal: whatever the creation of a child is answered with stands in its owner's status and in an
// Event at it. Method: the loops over a real store in memory behind a door that refuses.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controller/store/local_object_store.h"
#include "reconcilers/fork/reconciler.h"
#include "reconcilers/fork_set/reconciler.h"
#include "tests/unit/fork_set/gated_store.h"

namespace forkplane::fork_set {
namespace {

class RefusedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Make({"", "namespaces"}, "",
         R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})");
    MakeOurs("virtualmachines", "VirtualMachine", "base", R"({"cpus":1,"memory":"64Mi"})");
  }

  void Make(const store::GroupResource& resource, const std::string& ns, const std::string& text) {
    const auto made = store_->Create(resource, ns, text);
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  void MakeOurs(const std::string& plural, const std::string& kind, const std::string& name,
                const std::string& spec) {
    Make({"forkplane.dev", plural}, "default",
         fmt::format(R"({{"apiVersion":"forkplane.dev/v1alpha1","kind":"{}",)"
                     R"("metadata":{{"name":"{}"}},"spec":{}}})",
                     kind, name, spec));
  }

  void Step() {
    static_cast<void>(networks_.Step());
    static_cast<void>(snapshots_.Step());
    static_cast<void>(vms_.Step());
    static_cast<void>(forks_.Step());
    static_cast<void>(fork_sets_.Step());
  }
  void WriteAll() {
    clock_.Advance(std::chrono::seconds(1));  // what follows a write is merged for a while
    while (statuses_.ProcessDue()) {
    }
    while (events_.ProcessOne()) {
    }
  }
  // The Ready condition's reason, status and message; the reason of what goes with it.
  template <typename T>
  std::string Shown(const std::string& name) {
    const store::ObjectKey key = runtime::KeyOf<T>("default", name);
    const T object = T::FromText((*store_->Get(key))->text).value();
    std::string text;
    for (const crd::Condition& one : object.status.conditions) {
      const bool shown = one.type == "Ready" || one.type == "Stalled" || one.type == "Reconciling";
      if (shown) text += fmt::format("{}={} {}; ", one.type, ToString(one.status), one.reason);
      if (one.type == "Ready") text += one.message + "; ";
    }
    return text;
  }
  std::string EventText(const std::string& reason) {
    const auto events = store_->List({"", "events"}, {});
    for (const auto& event : events->items) {
      if (event->text.find("\"" + reason + "\"") != std::string::npos) return event->text;
    }
    return {};
  }

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
  runtime::Informer<crd::Network> networks_ = InformerOf<crd::Network>(gated_);
  runtime::Informer<crd::Host> hosts_ = InformerOf<crd::Host>(gated_);
  runtime::StatusWriter statuses_{gated_, clock_, registry_, {}};
  runtime::EventRecorder events_{gated_, "test", "host-1", clock_, rng_, registry_};
  fork::ForkReconciler forks_loop_{{.store = gated_,
                                    .forks = forks_,
                                    .vms = vms_,
                                    .snapshots = snapshots_,
                                    .networks = networks_,
                                    .hosts = hosts_,
                                    .statuses = statuses_,
                                    .events = events_,
                                    .clock = clock_,
                                    .host_name = "host-1"}};
  ForkSetReconciler sets_loop_{
      {gated_, fork_sets_, forks_, vms_, snapshots_, statuses_, events_, clock_}};
};

TEST_F(RefusedTest, AForkTellsWhatItsChildWasRefusedFor) {
  MakeOurs("forks", "Fork", "one", R"({"source":{"kind":"VirtualMachine","name":"base"}})");
  gated_.gate = [](const store::GroupResource&, const std::string&) {
    return Status(Exhausted("the quota of namespace default is used up"));
  };
  Step();
  EXPECT_FALSE(forks_loop_.Reconcile("default/one", {}).ok());
  WriteAll();
  EXPECT_EQ(Shown<crd::Fork>("one"),
            "Reconciling=True FailedCreate; Ready=False FailedCreate; create Snapshot "
            "\"one-source\": the quota of namespace default is used up; ");
  EXPECT_NE(EventText("FailedCreate").find("the quota of namespace"), std::string::npos);

  gated_.gate = nullptr;
  Step();
  EXPECT_TRUE(forks_loop_.Reconcile("default/one", {}).ok());
  WriteAll();
  EXPECT_EQ(Shown<crd::Fork>("one").find("FailedCreate"), std::string::npos) << "it is over";
}

TEST_F(RefusedTest, WhatOnlyAPersonCanMendIsStalled) {
  MakeOurs("forks", "Fork", "one", R"({"source":{"kind":"VirtualMachine","name":"base"}})");
  gated_.gate = [](const store::GroupResource&, const std::string&) {
    return Status(Invalid("metadata.name: too long"));
  };
  Step();
  EXPECT_FALSE(forks_loop_.Reconcile("default/one", {}).ok());
  WriteAll();
  EXPECT_TRUE(Shown<crd::Fork>("one").starts_with("Stalled=True FailedCreate"));
}

TEST_F(RefusedTest, AForkSetTellsWhatItsForksWereRefusedFor) {
  MakeOurs("snapshots", "Snapshot", "snap", R"({"source":{"virtualMachineName":"base"}})");
  const store::ObjectKey key{{"forkplane.dev", "snapshots"}, "default", "snap"};
  crd::Snapshot snapshot = crd::Snapshot::FromText((*store_->Get(key))->text).value();
  snapshot.status.phase = crd::SnapshotPhase::kReady;
  ASSERT_TRUE(store_->UpdateStatus(key, snapshot.ToText()).ok());
  MakeOurs("forksets", "ForkSet", "s",
           R"({"replicas":2,"template":{"spec":{"source":{"kind":"Snapshot","name":"snap"}}}})");
  gated_.gate = [](const store::GroupResource&, const std::string&) {
    return Status(Invalid("metadata.labels: too long"));
  };
  Step();
  EXPECT_FALSE(sets_loop_.Reconcile("default/s", {}).ok());
  WriteAll();
  const std::string shown = Shown<crd::ForkSet>("s");
  EXPECT_TRUE(shown.starts_with("Stalled=True FailedCreate; Ready=False FailedCreate;")) << shown;
  EXPECT_NE(shown.find("create Fork \"s-0\": metadata.labels: too long"), std::string::npos);
  EXPECT_FALSE(EventText("FailedCreate").empty());
  EXPECT_EQ(EventText("ScaledUp"), "") << "nothing was made";

  gated_.gate = nullptr;
  EXPECT_TRUE(sets_loop_.Reconcile("default/s", {}).ok());
  WriteAll();
  EXPECT_NE(EventText("ScaledUp").find("2 are wanted"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::fork_set
