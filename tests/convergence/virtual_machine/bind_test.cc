// Goal: every VirtualMachine comes to a host, with one write, whatever else is written at the time;
// and a clone is what its source was. Method: the world of world.h.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "crd/well_known.h"
#include "tests/convergence/virtual_machine/world.h"

namespace forkplane::testing {
namespace {

using std::chrono::seconds;
using vmm::MachineState;

class BindTest : public ::testing::Test {
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
  void MakeSnapshot(const std::string& source_spec) {
    MakeVm("source", source_spec);
    ASSERT_TRUE(
        world_.Apply("Snapshot", "snap", R"({"source":{"virtualMachineName":"source"}})").ok());
    ASSERT_TRUE(world_.Until([&] { return world_.Ready("Snapshot", "snap"); }));
  }
  crd::VirtualMachine MakeFork(const std::string& name, const std::string& rest = "") {
    const std::string spec = R"({"source":{"kind":"Snapshot","name":"snap"})" + rest + "}";
    EXPECT_TRUE(world_.Apply("Fork", name, spec).ok());
    EXPECT_TRUE(world_.Until([&] { return world_.Ready("Fork", name); }))
        << world_.Reason("Fork", name, "Ready");
    return world_.Vm(name).value_or(crd::VirtualMachine());
  }

  World world_;
};

TEST_F(BindTest, AVmThatNamesNoHostIsBoundWithOneWrite) {
  int updates = 0;
  world_.door = [&](const std::string& operation, bool after) {
    if (!after && operation == "store.Update virtualmachines") ++updates;
    return std::nullopt;
  };
  MakeVm("a");
  EXPECT_EQ(world_.Vm("a")->spec.host_name, "here");
  EXPECT_TRUE(world_.Vm("a")->metadata.HasFinalizer(crd::kVmFinalizer));
  EXPECT_EQ(world_.Condition("VirtualMachine", "a", "Scheduled"), "True");
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "Scheduled"), "Bound");
  EXPECT_EQ(updates, 1) << "host and finalizer are one write";
}

TEST_F(BindTest, AWriteInBetweenIsNotLostAndDoesNotStopTheBinding) {
  bool met = false;
  world_.door = [&](const std::string& operation, bool after) {
    // Between the scheduler's look and its write.
    if (!after && operation == "store.Update virtualmachines" && !met) {
      met = true;
      EXPECT_TRUE(world_.ApplySpec("VirtualMachine", "a", R"({"cpus":2})").ok());
    }
    return std::nullopt;
  };
  MakeVm("a");
  ASSERT_TRUE(met);
  EXPECT_EQ(world_.Vm("a")->spec.host_name, "here");
  EXPECT_EQ(world_.Vm("a")->spec.cpus, 2);
}

TEST_F(BindTest, AVmOfAnotherHostIsLeftAloneAndSaysSo) {
  ASSERT_TRUE(world_.Apply("VirtualMachine", "a", R"({"hostName":"there"})").ok());
  world_.Run(seconds(3));
  EXPECT_EQ(world_.Condition("VirtualMachine", "a", "Scheduled"), "False");
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "Scheduled"), "HostNotFound");
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "Ready"), "HostNotFound");
  EXPECT_EQ(world_.Condition("VirtualMachine", "a", "Stalled"), "True");
  EXPECT_EQ(world_.Vm("a")->spec.host_name, "there");
  EXPECT_TRUE(world_.Vm("a")->metadata.finalizers.empty());
  EXPECT_TRUE(world_.ledger->ListAll().vms.empty());
  ASSERT_TRUE(world_.Delete("VirtualMachine", "a").ok());
  EXPECT_FALSE(world_.Exists("VirtualMachine", "a")) << "nobody holds it";
}

// As earlier versions left them: with the finalizer, without a host.
TEST_F(BindTest, AHeldVmThatGoesIsBoundToBeLetGo) {
  world_.KillDaemon();
  ASSERT_TRUE(world_.Apply("VirtualMachine", "a", "{}").ok());
  crd::VirtualMachine vm = *world_.Vm("a");
  vm.metadata.finalizers = {std::string(crd::kVmFinalizer)};
  const store::ObjectKey key{{"forkplane.dev", "virtualmachines"}, "default", "a"};
  ASSERT_TRUE(world_.store->Update(key, vm.ToText()).ok());
  ASSERT_TRUE(world_.Delete("VirtualMachine", "a").ok());
  ASSERT_TRUE(world_.Exists("VirtualMachine", "a"));
  world_.StartDaemon();
  EXPECT_TRUE(world_.Until([&] { return !world_.Exists("VirtualMachine", "a"); }));
}

TEST_F(BindTest, AForkIsBoundByItsCreationAndANameOfAnotherHostIsRefused) {
  MakeSnapshot("{}");
  EXPECT_EQ(MakeFork("f").spec.host_name, "here");
  EXPECT_EQ(MakeFork("g", R"(,"template":{"spec":{"hostName":"here"}})").spec.host_name, "here");
  ASSERT_TRUE(world_
                  .Apply("Fork", "h",
                         R"({"source":{"kind":"Snapshot","name":"snap"},
                             "template":{"spec":{"hostName":"there"}}})")
                  .ok());
  world_.Run(seconds(3));
  EXPECT_EQ(world_.Reason("Fork", "h", "Ready"), "HostNotFound");
  EXPECT_EQ(world_.Condition("Fork", "h", "Stalled"), "True");
  EXPECT_FALSE(world_.Exists("VirtualMachine", "h"));
}

TEST_F(BindTest, ACloneIsWhatItsSourceWas) {
  MakeSnapshot(R"({"cpus":2,"memory":"128Mi","terminationGracePeriodSeconds":77,
                   "restartPolicy":"Always","boot":{"cmdline":"quiet"},
                   "interfaces":[{"name":"eth0","network":"default","ip":"10.90.0.9","bandwidth":
                     {"download":{"rate":"20M"},"upload":{"rate":"5M","ceil":"8M"}}}]})");
  const crd::VirtualMachineSpec source = world_.Vm("source")->spec;
  const crd::VirtualMachineSpec clone = MakeFork("f").spec;
  EXPECT_EQ(clone.cpus, source.cpus);
  EXPECT_EQ(clone.memory.Value(), source.memory.Value());
  EXPECT_EQ(clone.boot, source.boot);
  EXPECT_EQ(clone.termination_grace_period_seconds, 77);
  ASSERT_EQ(clone.interfaces.size(), 1U);
  EXPECT_EQ(clone.interfaces[0].bandwidth, source.interfaces[0].bandwidth);
  EXPECT_EQ(clone.interfaces[0].network, "default");
  EXPECT_EQ(clone.interfaces[0].ip, "") << "an address is one machine's";
  EXPECT_EQ(clone.restart_policy, std::nullopt) << "a restored VM has a default of its own";
}

TEST_F(BindTest, AForkMayDifferInOneDirectionOnly) {
  MakeSnapshot(R"({"interfaces":[{"name":"eth0","network":"default","bandwidth":
                     {"download":{"rate":"20M"},"upload":{"rate":"5M"}}}]})");
  const crd::VirtualMachineSpec clone =
      MakeFork("f", R"(,"template":{"spec":{"interfaces":[{"name":"eth0","bandwidth":
                         {"download":{"rate":"50M"}}}]}})")
          .spec;
  const crd::Bandwidth bandwidth = clone.interfaces.at(0).bandwidth.value_or(crd::Bandwidth());
  ASSERT_TRUE(bandwidth.download && bandwidth.upload);
  EXPECT_EQ(bandwidth.download->rate->Text(), "50M");
  EXPECT_EQ(bandwidth.upload->rate->Text(), "5M");
}

}  // namespace
}  // namespace forkplane::testing
