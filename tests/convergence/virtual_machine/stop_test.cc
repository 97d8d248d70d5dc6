// Goal: a guest that is stopped has its grace period, and nobody else waits for it. Method: the
// world of world.h, whose one thread is a single worker for all VMs; guests that do not follow
// their power button unless told to.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <string>

#include "tests/convergence/virtual_machine/world.h"

namespace forkplane::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using vmm::MachineState;

class StopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "VM directories belong to leased uids: needs root";
    world_.obeys = [](const std::string&) { return false; };
    world_.door = [this](const std::string& operation, bool after) -> std::optional<Error> {
      if (!after) calls_[operation] += 1;
      if (!after && operation == refused_) return Unavailable("the monitor does not answer");
      return std::nullopt;
    };
    world_.StartDaemon();
  }

  void MakeVm(const std::string& name, const std::string& spec = "{}") {
    ASSERT_TRUE(world_.Apply("VirtualMachine", name, spec).ok());
    ASSERT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", name); }))
        << world_.Explain(name);
  }
  void Power(const std::string& name, const std::string& state) {
    const std::string spec = R"({"powerState":")" + state + R"("})";
    ASSERT_TRUE(world_.ApplySpec("VirtualMachine", name, spec).ok());
  }
  bool Runs(const std::string& name) {
    return world_.Machine(name).state == MachineState::kRunning;
  }
  bool AskedAgain(int times) {
    return world_.Until([&] { return calls_["vmm.AskPowerOff"] >= times; });
  }

  World world_;
  std::map<std::string, int> calls_;
  std::string refused_;
};

TEST_F(StopTest, StoppingGuestsHoldNoWorker) {
  constexpr int kStopping = 8;
  const auto name = [](int n) { return "a" + std::to_string(n); };
  for (int n = 0; n < kStopping; ++n) MakeVm(name(n));
  const MonotonicTime begun = world_.clock.Now();
  for (int n = 0; n < kStopping; ++n) Power(name(n), "Stopped");
  ASSERT_TRUE(AskedAgain(kStopping));
  MakeVm("late");
  EXPECT_LT(world_.clock.Now() - begun, seconds(10));
  for (int n = 0; n < kStopping; ++n) {
    EXPECT_TRUE(Runs(name(n))) << "ended before its grace period was over";
    EXPECT_EQ(world_.Reason("VirtualMachine", name(n), "Ready"), "Stopping");
  }
  for (int n = 0; n < kStopping; ++n) {
    EXPECT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", name(n)); }));
    EXPECT_FALSE(Runs(name(n)));
  }
  EXPECT_GE(world_.clock.Now() - begun, seconds(10));
  EXPECT_LT(world_.clock.Now() - begun, seconds(12)) << "the periods ran one after another";
  EXPECT_EQ(calls_["vmm.AskPowerOff"], kStopping) << "each guest is asked once";
}

TEST_F(StopTest, AGuestThatFollowsEndsTheWait) {
  MakeVm("a");
  Power("a", "Stopped");
  ASSERT_TRUE(AskedAgain(1));
  world_.Run(seconds(2));
  ASSERT_TRUE(Runs("a"));
  const std::string uid = world_.Vm("a")->metadata.uid;
  const MonotonicTime followed = world_.clock.Now();
  ASSERT_TRUE(world_.simulated->Crash({uid, world_.storage->VmDirectory(uid)}).ok());
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", "a"); }));
  EXPECT_LT(world_.clock.Now() - followed, seconds(1)) << "its end did not wake the loop";
  EXPECT_EQ(calls_["vmm.Quit"], 0);
}

TEST_F(StopTest, ANewDaemonDoesNotBeginTheWaitAnewAndHearsOfItsEnd) {
  MakeVm("a");
  MakeVm("b");
  const MonotonicTime begun = world_.clock.Now();
  Power("a", "Stopped");
  Power("b", "Stopped");
  ASSERT_TRUE(AskedAgain(2));
  world_.Run(seconds(6));
  world_.KillDaemon();
  world_.StartDaemon();
  ASSERT_TRUE(AskedAgain(4)) << "the earlier daemon may have died before it asked";
  const std::string uid = world_.Vm("b")->metadata.uid;
  ASSERT_TRUE(world_.simulated->Crash({uid, world_.storage->VmDirectory(uid)}).ok());
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", "b"); }));
  EXPECT_LT(world_.clock.Now() - begun, seconds(8));
  ASSERT_TRUE(Runs("a"));
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("VirtualMachine", "a"); }));
  EXPECT_LT(world_.clock.Now() - begun, seconds(12)) << "the wait began anew";
}

TEST_F(StopTest, AGuestThatCannotBeAskedIsEndedAtTheDeadline) {
  refused_ = "vmm.AskPowerOff";
  MakeVm("a");
  Power("a", "Stopped");
  world_.Run(seconds(9));
  EXPECT_TRUE(Runs("a"));
  EXPECT_TRUE(world_.Until([&] { return !Runs("a"); }, seconds(20)));
}

TEST_F(StopTest, StoppedAndBackIsARestartWhateverThePolicy) {
  MakeVm("a", R"({"restartPolicy":"Never"})");
  const auto before = world_.Machine("a").process;
  Power("a", "Stopped");
  ASSERT_TRUE(AskedAgain(1));
  Power("a", "Running");
  world_.Run(seconds(2));
  EXPECT_EQ(world_.Reason("VirtualMachine", "a", "Ready"), "Stopping");
  ASSERT_TRUE(world_.Until([&] {
    const auto now = world_.Machine("a").process;
    return now && now != before && world_.Ready("VirtualMachine", "a");
  }));
  EXPECT_EQ(calls_["vmm.AskPowerOff"], 1);
  EXPECT_EQ(world_.Wrong(), "");
}

TEST_F(StopTest, ADeletedVmGetsTheSameGrace) {
  MakeVm("a", R"({"terminationGracePeriodSeconds":30})");
  const MonotonicTime begun = world_.clock.Now();
  ASSERT_TRUE(world_.Delete("VirtualMachine", "a").ok());
  world_.Run(seconds(29));
  ASSERT_TRUE(Runs("a"));
  EXPECT_TRUE(world_.Until([&] { return !world_.Exists("VirtualMachine", "a"); }));
  EXPECT_GE(world_.clock.Now() - begun, seconds(30));
  EXPECT_EQ(world_.LeftOver(), "");
}

}  // namespace
}  // namespace forkplane::testing
