// Goal: the simulated hypervisor keeps the contract of the real ones, survives a restart of the
// daemon, and takes time and fails as it is told.
#include "drivers/vmm/simulated/simulated.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "tests/support/hypervisor_contract.h"
#include "tests/support/tempdir.h"

namespace forkplane::vmm {
namespace {

const std::stop_token kGoOn;

class SimulatedTest : public ::testing::Test {
 protected:
  std::unique_ptr<Simulated> Open(SimulatedOptions options = {}) {
    return std::move(*Simulated::Open(std::move(options), rng_));
  }
  MachineSpec Spec(const std::string& uid) {
    MachineSpec spec;
    spec.ref = {uid, dir_.File(uid)};
    std::filesystem::create_directories(spec.ref.directory);
    spec.memory_bytes = 128U << 20U;
    return spec;
  }
  MachineSpec Boot(const std::string& uid) {
    MachineSpec spec = Spec(uid);
    spec.boot.emplace();
    return spec;
  }
  testing::TempDir dir_;
  SeededRng rng_{1};
};

TEST_F(SimulatedTest, KeepsTheContract) {
  const auto driver = Open();
  const auto restarted = Open();
  std::filesystem::create_directories(dir_.File("capture"));
  testing::CheckHypervisorContract({.driver = driver.get(),
                                    .restart = [&] { return restarted.get(); },
                                    .boot = [&] { return Boot("source"); },
                                    .restore =
                                        [&](const Capture&, const std::string& directory) {
                                          MachineSpec spec = Spec("clone");
                                          spec.restore.emplace();
                                          spec.restore->state_path = directory + "/state";
                                          spec.restore->state_format =
                                              driver->capabilities().state_format;
                                          return spec;
                                        },
                                    .capture_directory = dir_.File("capture")});
}

TEST_F(SimulatedTest, FailsBeforeOrAfterTheEffectAsTold) {
  std::optional<SimulatedFailure> next;
  SimulatedOptions options;
  options.failure = [&](const std::string& operation, const std::string&) {
    return operation == "launch" ? next : std::nullopt;
  };
  const auto driver = Open(options);
  const MachineSpec spec = Boot("vm");
  next = SimulatedFailure{Unavailable("out of luck"), false};
  EXPECT_EQ(driver->Launch(spec, kGoOn).error().message, "out of luck");
  EXPECT_EQ(driver->Query(spec.ref)->state, MachineState::kAbsent);
  next->after_effect = true;
  EXPECT_FALSE(driver->Launch(spec, kGoOn).ok());
  EXPECT_EQ(driver->Query(spec.ref)->state, MachineState::kRunning);
}

TEST_F(SimulatedTest, ASnapshotHoldsOthersOffAndIsVisible) {
  SimulatedOptions options;
  options.latency.capture_pause = std::chrono::milliseconds(300);
  const auto driver = Open(options);
  const MachineSpec spec = Boot("vm");
  ASSERT_TRUE(driver->Launch(spec, kGoOn).ok());
  std::filesystem::create_directories(dir_.File("capture"));
  Status captured = OkStatus();
  std::jthread thread([&] {
    auto capture = driver->Snapshot(spec.ref, dir_.File("capture"), kGoOn);
    if (!capture.ok()) captured = capture.error();
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!driver->Query(spec.ref)->capturing && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  const Status resumed = driver->Resume(spec.ref);
  thread.join();
  ASSERT_FALSE(resumed.ok()) << "resumed in the middle of a snapshot";
  EXPECT_EQ(resumed.error().code, Code::kConflict);
  EXPECT_TRUE(captured.ok());
  EXPECT_FALSE(driver->Query(spec.ref)->capturing);
  EXPECT_EQ(driver->Query(spec.ref)->state, MachineState::kRunning);
}

TEST_F(SimulatedTest, AGuestFollowsItsPowerButtonOrNot) {
  bool obeys = false;
  SimulatedOptions options;
  options.obeys_power_button = [&](const std::string&) { return obeys; };
  const auto driver = Open(options);
  std::vector<std::string> ended;
  const auto listening = driver->OnExit([&](const std::string& uid) { ended.push_back(uid); });
  const MachineSpec spec = Boot("vm");
  ASSERT_TRUE(driver->Launch(spec, kGoOn).ok());
  EXPECT_TRUE(driver->AskPowerOff(spec.ref).ok());
  EXPECT_EQ(driver->Query(spec.ref)->state, MachineState::kRunning);
  obeys = true;
  EXPECT_TRUE(driver->AskPowerOff(spec.ref).ok());
  EXPECT_EQ(driver->Query(spec.ref)->state, MachineState::kAbsent);
  EXPECT_EQ(ended, std::vector<std::string>{"vm"});
}

TEST_F(SimulatedTest, ACrashIsReportedOnceAndTheMachineIsGone) {
  const auto driver = Open();
  std::vector<std::string> ended;
  const auto listening = driver->OnExit([&](const std::string& uid) { ended.push_back(uid); });
  const MachineSpec spec = Boot("vm");
  ASSERT_TRUE(driver->Launch(spec, kGoOn).ok());
  EXPECT_TRUE(driver->Crash(spec.ref).ok());
  EXPECT_TRUE(driver->Crash(spec.ref).ok());
  EXPECT_EQ(ended, std::vector<std::string>{"vm"});
  EXPECT_EQ(driver->Query(spec.ref)->state, MachineState::kAbsent);
}

}  // namespace
}  // namespace forkplane::vmm
