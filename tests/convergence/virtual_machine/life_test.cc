// Goal: a VM, its snapshot and its forks live as their objects say, and nothing
// is left of them. Method: the world of world.h, one thread, a manual clock;
// every test looks at the objects and at the host itself.
#include <gtest/gtest.h>

#include <unistd.h>

#include <map>

#include "tests/convergence/virtual_machine/world.h"

namespace forkplane::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using vmm::MachineState;

constexpr const char* kForkOfSnap = R"({"source":{"kind":"Snapshot","name":"snap"}})";

class LifeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "VM directories belong to leased uids: needs root";
    world_.StartDaemon();
  }

  void MakeVm(const std::string& name, const std::string& spec = "{}") {
    ASSERT_TRUE(world_.Apply("VirtualMachine", name, spec).ok());
    ASSERT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", name); }))
        << world_.Explain(name) << world_.Reason("VirtualMachine", name, "Ready");
  }

  void MakeSnapshot() {
    MakeVm("source");
    ASSERT_TRUE(
        world_.Apply("Snapshot", "snap", R"({"source":{"virtualMachineName":"source"}})").ok());
    ASSERT_TRUE(world_.Until([&] { return world_.Ready("Snapshot", "snap"); }))
        << world_.Reason("Snapshot", "snap", "Ready");
  }

  bool Gone(const std::string& kind, const std::string& name) {
    return world_.Until([&] { return !world_.Exists(kind, name); });
  }

  World world_;
};

TEST_F(LifeTest, ABootedVmBecomesReadyAndLeavesNothing) {
  MakeVm("a");
  const crd::VirtualMachine vm = *world_.Vm("a");
  EXPECT_EQ(vm.status.phase, crd::VmPhase::kRunning);
  ASSERT_EQ(vm.status.interfaces.size(), 1U);
  EXPECT_EQ(vm.status.interfaces[0].ip, "10.90.0.3");
  EXPECT_EQ(vm.status.interfaces[0].class_id, "7f00:1");
  ASSERT_TRUE(vm.status.vmm && vm.status.timings);
  EXPECT_EQ(vm.status.vmm->pid, world_.Machine("a").process->pid);
  EXPECT_EQ(vm.status.observed_generation, vm.metadata.generation);
  EXPECT_EQ(world_.Condition("VirtualMachine", "a", "Reconciling"), "");
  EXPECT_EQ(world_.Wrong(), "");
  ASSERT_TRUE(world_.Delete("VirtualMachine", "a").ok());
  EXPECT_TRUE(Gone("VirtualMachine", "a"));
  EXPECT_EQ(world_.LeftOver(), "");
}

TEST_F(LifeTest, NoGuestRunsBeforeItsNetworkIsInPlace) {
  world_.network_up = false;
  bool ran = false;
  world_.door = [&](const std::string& operation, bool) {
    ran = ran || operation == "vmm.Launch" || operation == "vmm.Resume";
    return std::nullopt;
  };
  ASSERT_TRUE(world_.Apply("VirtualMachine", "a", "{}").ok());
  world_.Run(seconds(20));
  EXPECT_FALSE(ran);
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "NetworkReady"), "WaitingForTap");
  EXPECT_EQ(world_.Condition("VirtualMachine", "a", "Ready"), "False");
  world_.network_up = true;
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", "a"); }));
}

TEST_F(LifeTest, AVmThatIsNotShapedIsNotReadyAndSaysSoAfterTwoSeconds) {
  world_.shaping_up = false;
  ASSERT_TRUE(world_.Apply("VirtualMachine", "a", "{}").ok());
  const auto shaped = [&] { return world_.Condition("VirtualMachine", "a", "NetworkShaped"); };
  ASSERT_TRUE(world_.Until([&] { return shaped() == "Unknown"; }));
  ASSERT_TRUE(world_.Until([&] { return shaped() == "False"; }, seconds(3)));
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "NetworkShaped"), "NoClass");
  EXPECT_EQ(world_.Machine("a").state, MachineState::kRunning) << "shaping holds no start";
  EXPECT_FALSE(world_.Ready("VirtualMachine", "a"));
  world_.shaping_up = true;
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", "a"); }));
}

TEST_F(LifeTest, WhatIsMissingIsNamedAndNothingIsHalfMade) {
  ASSERT_TRUE(
      world_.Apply("VirtualMachine", "a", R"({"interfaces":[{"name":"eth0","network":"none"}]})")
          .ok());
  ASSERT_TRUE(
      world_.Apply("VirtualMachine", "b", R"({"restoreFrom":{"snapshotName":"none"}})").ok());
  ASSERT_TRUE(world_.Apply("VirtualMachine", "c", R"({"hypervisor":"other"})").ok());
  world_.Run(seconds(3));
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "NetworkReady"), "NetworkNotFound");
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "Ready"), "NetworkNotFound");
  EXPECT_EQ(world_.Reason("VirtualMachine", "b", "Restored"), "SnapshotNotFound");
  EXPECT_EQ(world_.Reason("VirtualMachine", "c", "Scheduled"), "HypervisorNotFound");
  EXPECT_EQ(world_.Condition("VirtualMachine", "c", "Stalled"), "True");
  EXPECT_TRUE(world_.ledger->ListAll().vms.empty());
  EXPECT_TRUE(world_.storage->ListVmDirectories()->empty());
}

TEST_F(LifeTest, AStaticAddressInUseNamesItsHolder) {
  MakeVm("a", R"({"interfaces":[{"name":"eth0","network":"default","ip":"10.90.0.9"}]})");
  ASSERT_TRUE(world_
                  .Apply("VirtualMachine", "b",
                         R"({"interfaces":[{"name":"eth0","network":"default","ip":"10.90.0.9"}]})")
                  .ok());
  world_.Run(seconds(2));
  EXPECT_EQ(world_.Reason("VirtualMachine", "b", "NetworkReady"), "AddressInUse");
  const auto vm = world_.Vm("b");
  ASSERT_TRUE(vm);
  const crd::Condition* told =
      crd::FindCondition(vm->status.conditions, crd::condition::kNetworkReady);
  ASSERT_NE(told, nullptr);
  EXPECT_NE(told->message.find("default/a"), std::string::npos) << told->message;
}

TEST_F(LifeTest, ACrashedVmIsRestartedByItsPolicyAndAFailedOneStaysDown) {
  MakeVm("a");
  MakeVm("never", R"({"restartPolicy":"Never"})");
  const auto crash = [&](const std::string& name) {
    const std::string uid = world_.Vm(name)->metadata.uid;
    ASSERT_TRUE(world_.simulated->Crash({uid, world_.storage->VmDirectory(uid)}).ok());
  };
  const auto before = world_.Machine("a").process;
  crash("a");
  crash("never");
  ASSERT_TRUE(world_.Until([&] {
    const auto now = world_.Machine("a").process;
    return now && !(now == before) && world_.Ready("VirtualMachine", "a");
  }));
  world_.Run(seconds(10));
  EXPECT_EQ(world_.Vm("never")->status.phase, crd::VmPhase::kFailed);
  EXPECT_EQ(world_.Machine("never").state, MachineState::kAbsent);
  // A new daemon does not start it either.
  world_.KillDaemon();
  world_.StartDaemon();
  world_.Run(seconds(10));
  EXPECT_EQ(world_.Machine("never").state, MachineState::kAbsent);
  EXPECT_EQ(world_.Vm("never")->status.phase, crd::VmPhase::kFailed);
}

TEST_F(LifeTest, ARestartOfTheDaemonAdoptsEveryMachine) {
  MakeSnapshot();
  ASSERT_TRUE(world_.Apply("Fork", "f", kForkOfSnap).ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
  const auto source = world_.Machine("source").process;
  const auto fork = world_.Machine("f").process;
  world_.KillDaemon();
  world_.StartDaemon();
  world_.Run(seconds(5));
  EXPECT_EQ(world_.Machine("source").process, source);
  EXPECT_EQ(world_.Machine("f").process, fork);
  EXPECT_EQ(world_.Wrong(), "");
  EXPECT_TRUE(world_.Ready("VirtualMachine", "f"));
}

TEST_F(LifeTest, ASourceLeftPausedByACrashGoesOn) {
  MakeVm("a");
  const std::string uid = world_.Vm("a")->metadata.uid;
  world_.KillDaemon();
  ASSERT_TRUE(world_.simulated->Pause({uid, world_.storage->VmDirectory(uid)}).ok());
  world_.StartDaemon();
  EXPECT_TRUE(world_.Until([&] { return world_.Machine("a").state == MachineState::kRunning; }));
}

TEST_F(LifeTest, StoppedAndStartedAgainItKeepsItsAddress) {
  MakeVm("a");
  const std::string address = world_.Vm("a")->status.interfaces.at(0).ip;
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"powerState":"Stopped"})").ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Vm("a")->status.phase == crd::VmPhase::kStopped; }));
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", "a"); }));
  EXPECT_EQ(world_.Machine("a").state, MachineState::kAbsent);
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"powerState":"Running"})").ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Vm("a")->status.phase == crd::VmPhase::kRunning; }));
  EXPECT_EQ(world_.Vm("a")->status.interfaces.at(0).ip, address);
}

TEST_F(LifeTest, AChangedSizeIsSaidAndNotForgottenByARestart) {
  MakeVm("a");
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"cpus":2})").ok());
  const auto said = [&] {
    return world_.Condition("VirtualMachine", "a", "RestartRequired") == "True";
  };
  EXPECT_TRUE(world_.Until(said));
  world_.KillDaemon();
  world_.StartDaemon();
  world_.Run(seconds(2));
  EXPECT_TRUE(said());
}

// At most two API writes and three chained commits from a Fork's POST to the
// guest's resume: the Fork, the child, the claim.
TEST_F(LifeTest, AForkCostsOneMoreWriteAndOneClaim) {
  MakeSnapshot();
  std::map<std::string, int> before_resume;
  bool resumed = false;
  world_.door = [&](const std::string& operation, bool after) {
    if (operation == "vmm.Resume" && after) resumed = true;
    if (!after && !resumed) before_resume[operation] += 1;
    return std::nullopt;
  };
  ASSERT_TRUE(world_.Apply("Fork", "f", kForkOfSnap).ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
  ASSERT_TRUE(resumed);
  int chained = 1;  // the POST itself
  for (const auto& [operation, count] : before_resume) {
    const bool status = operation.starts_with("store.UpdateStatus");  // reported, not waited for
    const bool event = operation.ends_with(" events");
    const bool commit = operation.starts_with("store.") || operation.starts_with("ledger.");
    if (commit && !status && !event) chained += count;
  }
  EXPECT_EQ(before_resume["store.Create virtualmachines"], 1);
  EXPECT_EQ(before_resume["ledger.Claim"], 1);
  EXPECT_LE(chained, 3);
  const crd::Timings timings = world_.Vm("f")->status.timings.value_or(crd::Timings{});
  EXPECT_TRUE(timings.slot_wait && timings.network && timings.spawn && timings.load &&
              timings.resume && timings.total);
  EXPECT_EQ(world_.Vm("f")->status.snapshot_alias->strategy, "none");
}

// Goal: the status of a clone whose slot was granted in an earlier life is one that the store
// takes. Method: the daemon is killed between the grant and the launch; the claim of its next life
// comes 50 ms after it saw the slot.
TEST_F(LifeTest, ASlotGrantedBeforeARestartWasNotWaitedFor) {
  MakeSnapshot();
  world_.door = [](const std::string& operation, bool) -> std::optional<Error> {
    if (operation == "vmm.Launch") throw SimulatedCrash();
    return std::nullopt;
  };
  ASSERT_TRUE(world_.Apply("Fork", "f", kForkOfSnap).ok());
  EXPECT_THROW(world_.Run(seconds(1)), SimulatedCrash);
  world_.KillDaemon();
  int claims = 0;
  world_.door = [&](const std::string& operation, bool after) -> std::optional<Error> {
    if (operation != "ledger.Claim" || after) return std::nullopt;
    ++claims;
    world_.clock.Advance(std::chrono::milliseconds(50));
    return std::nullopt;
  };
  world_.StartDaemon();
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
  EXPECT_EQ(claims, 1);
  EXPECT_EQ(world_.Vm("f")->status.timings.value_or(crd::Timings{}).slot_wait, 0);
}

TEST_F(LifeTest, ASnapshotSaysWhatItIsAndWhoUsesItAndWaitsForThem) {
  MakeSnapshot();
  const crd::SnapshotStatus status = world_.Snap("snap")->status;
  EXPECT_EQ(status.phase, crd::SnapshotPhase::kReady);
  EXPECT_EQ(status.hypervisor, "simulated");
  ASSERT_TRUE(status.network && status.machine && status.size && status.pause_milliseconds);
  EXPECT_EQ(status.network->cidr, "10.90.0.0/24");
  EXPECT_EQ(status.network->gateway, "10.90.0.1");
  EXPECT_TRUE(status.digest.starts_with("sha256:"));
  EXPECT_EQ(world_.Machine("source").state, MachineState::kRunning);
  ASSERT_TRUE(world_.Apply("Fork", "f", kForkOfSnap).ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
  ASSERT_TRUE(world_.Delete("Snapshot", "snap").ok());
  world_.Run(seconds(10));
  ASSERT_TRUE(world_.Exists("Snapshot", "snap"));
  EXPECT_EQ(world_.Reason("Snapshot", "snap", "Ready"), "InUse");
  EXPECT_EQ(world_.Snap("snap")->status.used_by,
            (std::vector<std::string>{"Fork/f", "VirtualMachine/f"}));
  ASSERT_TRUE(world_.Delete("Fork", "f").ok());
  EXPECT_TRUE(Gone("Snapshot", "snap"));
  ASSERT_TRUE(world_.Delete("VirtualMachine", "source").ok());
  EXPECT_TRUE(Gone("VirtualMachine", "source"));
  EXPECT_EQ(world_.LeftOver(), "");
}

// The deletion comes between the Fork's creation and the first look of any
// loop.
TEST_F(LifeTest, ADeletionDoesNotOvertakeAForkThatCameFirst) {
  MakeSnapshot();
  ASSERT_TRUE(world_.Apply("Fork", "f", kForkOfSnap).ok());
  ASSERT_TRUE(world_.Delete("Snapshot", "snap").ok());
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }))
      << world_.Reason("Fork", "f", "Ready");
  world_.clock.Advance(seconds(2));
  ASSERT_TRUE(world_.Apply("Fork", "late", kForkOfSnap).ok());
  world_.Run(seconds(2));
  EXPECT_EQ(world_.Reason("Fork", "late", "SourcePinned"), "SnapshotTerminating");
  EXPECT_FALSE(world_.Exists("VirtualMachine", "late"));
}

TEST_F(LifeTest, WhatASnapshotCannotDoYetIsRefusedByField) {
  MakeVm("source");
  const Status diff = world_.Apply("Snapshot", "diff",
                                   R"({"source":{"virtualMachineName":"source"},"type":"Diff"})");
  ASSERT_FALSE(diff.ok());
  EXPECT_NE(diff.error().message.find("spec.type: Forbidden: Diff is not supported"),
            std::string::npos)
      << diff.error().message;
  ASSERT_TRUE(
      world_.Apply("Snapshot", "nobody", R"({"source":{"virtualMachineName":"nobody"}})").ok());
  world_.Run(seconds(2));
  EXPECT_EQ(world_.Reason("Snapshot", "nobody", "Ready"), "SourceNotFound");
  EXPECT_TRUE(world_.storage->ListSnapshots()->empty());
}

TEST_F(LifeTest, AForkOfAVmTakesOneSnapshotAndTakesItAlongWhenItGoes) {
  MakeVm("source");
  ASSERT_TRUE(
      world_.Apply("Fork", "f", R"({"source":{"kind":"VirtualMachine","name":"source"}})").ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }))
      << world_.Reason("Fork", "f", "Ready");
  EXPECT_EQ(world_.ForkOf("f")->status.snapshot_name, "f-source");
  EXPECT_EQ(world_.Wrong(), "");
  ASSERT_TRUE(world_.Delete("Fork", "f").ok());
  ASSERT_TRUE(world_.Delete("VirtualMachine", "source").ok());
  EXPECT_TRUE(world_.Until([&] { return world_.LeftOver().empty(); })) << world_.LeftOver();
}

TEST_F(LifeTest, AForkExpires) {
  MakeSnapshot();
  ASSERT_TRUE(
      world_.Apply("Fork", "f", R"({"source":{"kind":"Snapshot","name":"snap"},"ttl":"30s"})")
          .ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
  world_.Run(seconds(40));
  EXPECT_FALSE(world_.Exists("Fork", "f"));
  EXPECT_TRUE(Gone("VirtualMachine", "f"));
}

TEST_F(LifeTest, ASetMakesItsForksOnceAndTakesTheHighestFirst) {
  MakeVm("source");
  std::map<std::string, int> made;
  world_.door = [&](const std::string& operation, bool after) {
    if (!after) made[operation] += 1;
    return std::nullopt;
  };
  ASSERT_TRUE(world_
                  .Apply("ForkSet", "s",
                         R"({"replicas":3,"maxConcurrent":2,"template":{"spec":
                             {"source":{"kind":"VirtualMachine","name":"source"}}}})")
                  .ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("ForkSet", "s"); }))
      << world_.Reason("ForkSet", "s", "Ready");
  EXPECT_EQ(made["store.Create forks"], 3);
  EXPECT_EQ(made["store.Create snapshots"], 1);
  EXPECT_EQ(made["store.Create virtualmachines"], 3);
  EXPECT_EQ(world_.Set("s")->status.ready_replicas, 3);
  EXPECT_EQ(world_.Set("s")->status.updated_replicas, 3);
  ASSERT_TRUE(world_.ApplySpec("ForkSet", "s", R"({"replicas":1})").ok());
  ASSERT_TRUE(world_.Until([&] {
    return !world_.Exists("VirtualMachine", "s-2") && !world_.Exists("VirtualMachine", "s-1");
  }));
  EXPECT_TRUE(world_.Exists("Fork", "s-0"));
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("ForkSet", "s"); }));
  EXPECT_EQ(world_.Wrong(), "");
}

TEST_F(LifeTest, SlotsBoundHowManyAreRestoredAtOnce) {
  MakeSnapshot();
  ASSERT_TRUE(world_.Apply("Host", "here", R"({"maxConcurrentRestores":{"simulated":1}})").ok());
  world_.Run(milliseconds(500));
  world_.network_up = false;  // the first one holds its slot for a while
  ASSERT_TRUE(world_.Apply("Fork", "f", kForkOfSnap).ok());
  world_.Run(milliseconds(200));
  ASSERT_TRUE(world_.Apply("Fork", "g", kForkOfSnap).ok());
  world_.Run(milliseconds(500));
  EXPECT_EQ(world_.Reason("VirtualMachine", "f", "SlotGranted"), "Granted");
  EXPECT_EQ(world_.Reason("VirtualMachine", "g", "SlotGranted"), "WaitingForSlot");
  world_.network_up = true;
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f") && world_.Ready("Fork", "g"); }));
  EXPECT_EQ(world_.Wrong(), "");
}

TEST_F(LifeTest, AVmWhoseObjectIsGoneIsHeld) {
  MakeVm("a");
  const std::string uid = world_.Vm("a")->metadata.uid;
  world_.KillDaemon();
  // A store that was lost: the object goes without its loop.
  crd::VirtualMachine vm = *world_.Vm("a");
  vm.metadata.finalizers.clear();
  const store::ObjectKey key{{"forkplane.dev", "virtualmachines"}, "default", "a"};
  ASSERT_TRUE(world_.store->Update(key, vm.ToText()).ok());
  ASSERT_TRUE(world_.Delete("VirtualMachine", "a").ok());
  world_.StartDaemon();
  world_.Run(seconds(60));
  const vmm::MachineRef ref{uid, world_.storage->VmDirectory(uid)};
  EXPECT_EQ(world_.simulated->Query(ref)->state, MachineState::kRunning);
  EXPECT_TRUE(world_.ledger->GetVm(uid).has_value());
  EXPECT_NE(world_.registry.Serialize().find("forkplane_orphans_held 1"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::testing
