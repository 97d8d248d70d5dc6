// Goal: what a spec says of the host and of the size of a machine has its effect, or is told.
// Method: the world of world.h, whose host has 4 CPUs and 1 GiB.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/convergence/virtual_machine/world.h"

namespace forkplane::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using vmm::MachineState;

class PlacementTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "VM directories belong to leased uids: needs root";
    world_.StartDaemon();
    ASSERT_TRUE(world_.Apply("Host", "here", "{}").ok());
  }

  void SetHost(const std::string& spec) {
    ASSERT_TRUE(world_.ApplySpec("Host", "here", spec).ok());
  }
  void Make(const std::string& name, const std::string& spec = "{}") {
    const Status made = world_.Apply("VirtualMachine", name, spec);
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  bool Running(const std::string& name) {
    return world_.Until([&] { return world_.Ready("VirtualMachine", name); }, seconds(20));
  }
  std::string Why(const std::string& name, const std::string& type = "Ready") {
    return world_.Reason("VirtualMachine", name, type);
  }
  std::string Message(const std::string& name, const std::string& type) {
    const auto vm = world_.Vm(name);
    const auto* condition = crd::FindCondition(vm->status.conditions, type);
    return condition == nullptr ? "" : condition->message;
  }
  void TakeSnapshot(const std::string& source) {
    ASSERT_TRUE(
        world_.Apply("Snapshot", "snap", R"({"source":{"virtualMachineName":")" + source + R"("}})")
            .ok());
    ASSERT_TRUE(world_.Until([&] { return world_.Ready("Snapshot", "snap"); }));
  }

  World world_;
};

TEST_F(PlacementTest, AnUnschedulableHostKeepsItsMachinesAndTakesNoNewOnes) {
  Make("old");
  ASSERT_TRUE(Running("old"));
  SetHost(R"({"unschedulable":true})");
  Make("new");
  Make("named", R"({"hostName":"here"})");
  EXPECT_TRUE(Running("named")) << "it bypasses placement, as nodeName does";
  world_.Run(seconds(3));
  EXPECT_EQ(world_.Vm("new")->spec.host_name, "");
  EXPECT_EQ(world_.Condition("VirtualMachine", "new", "Scheduled"), "False");
  EXPECT_EQ(Why("new", "Scheduled"), "HostUnschedulable");
  EXPECT_EQ(Why("new"), "HostUnschedulable");
  EXPECT_TRUE(world_.Ready("VirtualMachine", "old"));
  SetHost(R"({"unschedulable":false})");
  EXPECT_TRUE(Running("new")) << Why("new");
}

TEST_F(PlacementTest, ADrainedHostStopsItsMachinesInOrderAndStartsThemAfterwards) {
  Make("a");
  Make("b", R"({"powerState":"Stopped"})");
  ASSERT_TRUE(Running("a"));
  ASSERT_TRUE(Running("b"));
  int asked = 0;
  world_.door = [&](const std::string& operation, bool after) {
    if (!after && operation.find("AskPowerOff") != std::string::npos) ++asked;
    return std::nullopt;
  };
  SetHost(R"({"drain":"Stop"})");
  EXPECT_TRUE(world_.Until([&] { return Why("a") == "HostDrained"; })) << Why("a");
  EXPECT_EQ(asked, 1) << "the guest switches itself off";
  EXPECT_EQ(world_.Machine("a").state, MachineState::kAbsent);
  EXPECT_EQ(world_.Vm("a")->status.phase, crd::VmPhase::kStopped);
  EXPECT_EQ(world_.Vm("a")->spec.power_state, crd::PowerState::kRunning);
  EXPECT_TRUE(world_.Ready("VirtualMachine", "b")) << "it is as it was asked to be";
  Make("c");
  world_.Run(seconds(60));
  EXPECT_EQ(world_.Machine("a").state, MachineState::kAbsent) << "it stays so";
  EXPECT_EQ(Why("c", "Scheduled"), "HostDrained");
  SetHost(R"({"drain":"None"})");
  EXPECT_TRUE(Running("a"));
  EXPECT_TRUE(Running("c"));
}

TEST_F(PlacementTest, AMachineOfADrainedHostCanBeDeleted) {
  Make("a");
  ASSERT_TRUE(Running("a"));
  SetHost(R"({"drain":"Stop"})");
  ASSERT_TRUE(world_.Delete("VirtualMachine", "a").ok());
  EXPECT_TRUE(world_.Until([&] { return world_.LeftOver().empty(); })) << world_.LeftOver();
}

TEST_F(PlacementTest, NoMoreIsPromisedThanOvercommitAllows) {
  SetHost(R"({"overcommit":{"cpu":1.5,"memory":1}})");  // 6 CPUs, 1 GiB
  Make("a", R"({"cpus":4,"memory":"256Mi"})");
  ASSERT_TRUE(Running("a"));
  Make("b", R"({"cpus":3,"memory":"256Mi"})");
  world_.Run(seconds(3));
  EXPECT_EQ(world_.Condition("VirtualMachine", "b", "Scheduled"), "False");
  EXPECT_EQ(Why("b", "Scheduled"), "InsufficientCpu");
  EXPECT_EQ(Why("b"), "InsufficientCpu");
  EXPECT_THAT(Message("b", "Scheduled"),
              HasSubstr("cpu: needs 3 CPUs, of 6 CPUs that may be promised 4 CPUs are"));
  EXPECT_FALSE(world_.ledger->GetVm(world_.Vm("b")->metadata.uid)) << "it holds nothing";
  Make("c", R"({"cpus":1,"memory":"900Mi"})");
  world_.Run(seconds(3));
  EXPECT_EQ(Why("c", "Scheduled"), "InsufficientMemory");
  // What stops makes room, and what is over is not counted.
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"powerState":"Stopped"})").ok());
  EXPECT_TRUE(Running("b")) << Message("b", "Scheduled");
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"powerState":"Running"})").ok());
  world_.Run(seconds(3));
  EXPECT_EQ(Why("a", "Scheduled"), "InsufficientCpu");
  // An operator who allows more is heard.
  SetHost(R"({"overcommit":{"cpu":2,"memory":null}})");
  EXPECT_TRUE(Running("a")) << Message("a", "Scheduled");
  EXPECT_TRUE(Running("c")) << Message("c", "Scheduled");
}

TEST_F(PlacementTest, MoreUploadThanTheUplinkHasIsNotPromised) {
  world_.SetUplink(100'000'000);
  const auto with = [](const char* rate, const std::string& more = "") {
    return R"({"interfaces":[{"name":"eth0","bandwidth":{"upload":{"rate":")" + std::string(rate) +
           R"("}}}])" + more + "}";
  };
  Make("a", with("80M"));
  ASSERT_TRUE(Running("a"));
  Make("free");
  ASSERT_TRUE(Running("free")) << "it asks for nothing";
  Make("b", with("60M"));
  Make("hasty", with("60M", R"(,"admissionPolicy":"FailFast")"));
  world_.Run(seconds(3));
  EXPECT_EQ(Why("b", "Scheduled"), "InsufficientUpload");
  EXPECT_EQ(Why("b"), "InsufficientUpload");
  EXPECT_THAT(Message("b", "Scheduled"),
              HasSubstr("upload: needs 60 Mbit/s, of 100 Mbit/s that may "
                        "be promised 80 Mbit/s are"));
  EXPECT_FALSE(world_.ledger->GetVm(world_.Vm("b")->metadata.uid)) << "it holds nothing";
  EXPECT_EQ(world_.Condition("VirtualMachine", "b", "Stalled"), "") << "it waits";
  EXPECT_EQ(world_.Condition("VirtualMachine", "hasty", "Stalled"), "True");
  // The default of its Network counts as its own.
  ASSERT_TRUE(world_.Delete("VirtualMachine", "hasty").ok());
  ASSERT_TRUE(
      world_.ApplySpec("VirtualMachine", "a", with("30M")).ok());  // applies at once, to what runs
  EXPECT_TRUE(Running("b")) << Message("b", "Scheduled");
  // What runs is not stopped by an operator who promises less; what is new is.
  SetHost(R"({"overcommit":{"network":1.5}})");
  Make("c", with("50M"));
  EXPECT_TRUE(Running("c")) << Message("c", "Scheduled");
  SetHost(R"({"overcommit":{"network":1}})");
  Make("d", with("1M"));
  world_.Run(seconds(3));
  EXPECT_TRUE(world_.Ready("VirtualMachine", "c"));
  EXPECT_EQ(Why("d", "Scheduled"), "InsufficientUpload");
}

TEST_F(PlacementTest, WhatRunsIsCountedAfterARestartToo) {
  SetHost(R"({"overcommit":{"cpu":1}})");
  Make("a", R"({"cpus":4})");
  ASSERT_TRUE(Running("a"));
  world_.KillDaemon();
  Make("b");
  world_.StartDaemon();
  world_.Run(seconds(3));
  EXPECT_TRUE(world_.Ready("VirtualMachine", "a"));
  EXPECT_EQ(Why("b", "Scheduled"), "InsufficientCpu");
}

TEST_F(PlacementTest, MemoryIsRoundedUpAndShown) {
  Make("a", R"({"memory":"0.1Gi"})");
  Make("b", R"({"memory":"129e6"})");
  ASSERT_TRUE(Running("a"));
  ASSERT_TRUE(Running("b"));
  // To whole pages, by the simulated hypervisor.
  EXPECT_EQ(world_.Vm("a")->status.memory->Value(), 107376640);
  EXPECT_EQ(world_.Vm("b")->status.memory->Value(), 129003520);
  EXPECT_EQ(world_.Vm("a")->spec.memory.Text(), "0.1Gi");
  EXPECT_EQ(world_.Vm("a")->status.hypervisor, "simulated");
  EXPECT_EQ(world_.Condition("VirtualMachine", "a", "RestartRequired"), "") << "nothing differs";
}

TEST_F(PlacementTest, ASizeThatNoStartWillBringIsNotPromisedForTheNext) {
  Make("a");
  ASSERT_TRUE(Running("a"));
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"cpus":2})").ok());
  ASSERT_TRUE(world_.Until([&] { return Why("a", "RestartRequired") == "SpecChanged"; }));
  EXPECT_EQ(world_.Vm("a")->status.cpus, 1);
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"hypervisor":"bochs"})").ok());
  ASSERT_TRUE(world_.Until([&] { return Why("a", "RestartRequired") == "HypervisorNotFound"; }))
      << Why("a", "RestartRequired");
  EXPECT_THAT(Message("a", "RestartRequired"), HasSubstr("the next start would be refused"));
}

TEST_F(PlacementTest, ARestoredMachineWithoutInterfacesTakesThoseOfItsSnapshot) {
  world_.MakeNetwork("other", "10.91.0.0/24");
  Make("source", R"({"interfaces":[{"name":"net1","network":"other","bandwidth":
                     {"download":{"rate":"20M"}}}]})");
  ASSERT_TRUE(Running("source"));
  // Also when the snapshot comes later.
  Make("early", R"({"restoreFrom":{"snapshotName":"snap"}})");
  world_.Run(seconds(2));
  EXPECT_EQ(Why("early"), "SnapshotNotFound");
  TakeSnapshot("source");
  Make("late", R"({"restoreFrom":{"snapshotName":"snap"}})");
  for (const char* name : {"early", "late"}) {
    EXPECT_TRUE(Running(name)) << Why(name);
    const auto interfaces = world_.Vm(name)->spec.interfaces;
    ASSERT_EQ(interfaces.size(), 1U);
    EXPECT_EQ(interfaces[0].name, "net1");
    EXPECT_EQ(interfaces[0].network, "other");
    EXPECT_EQ(interfaces[0].bandwidth->download->rate->Text(), "20M");
    EXPECT_FALSE(world_.Vm(name)->spec.interfaces_absent);
  }
}

// A clone starts with what its snapshot has, each time.
TEST_F(PlacementTest, ASizeThatASnapshotSetsIsNotPromisedForTheNextStart) {
  Make("source");
  ASSERT_TRUE(Running("source"));
  TakeSnapshot("source");
  Make("clone", R"({"restoreFrom":{"snapshotName":"snap"},"restartMode":"Refork"})");
  ASSERT_TRUE(Running("clone"));
  ASSERT_TRUE(world_.ApplySpec("VirtualMachine", "clone", R"({"cpus":2})").ok());
  ASSERT_TRUE(world_.Until([&] { return Why("clone", "RestartRequired") == "SetBySnapshot"; }))
      << Why("clone", "RestartRequired");
  EXPECT_THAT(Message("clone", "RestartRequired"),
              HasSubstr("spec.cpus (2, running with 1): each start restores what the snapshot has: "
                        "set it back, or use spec.restartMode Boot"));
  EXPECT_EQ(world_.Vm("clone")->status.cpus, 1);
}

}  // namespace
}  // namespace forkplane::testing
