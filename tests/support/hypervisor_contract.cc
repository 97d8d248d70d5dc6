#include "tests/support/hypervisor_contract.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace forkplane::testing {
namespace {

using vmm::MachineState;

const std::stop_token kGoOn;

Code CodeOf(const Status& status) { return status.ok() ? Code::kInternal : status.error().code; }

std::string Words(const Status& status) {
  return status.ok() ? "no error" : status.error().message;
}

MachineState StateOf(vmm::Hypervisor* driver, const vmm::MachineRef& ref) {
  const auto observation = driver->Query(ref);
  EXPECT_TRUE(observation.ok());
  return observation.ok() ? observation->state : MachineState::kFailed;
}

void CheckRefusals(const HypervisorUnderTest& under_test) {
  vmm::Hypervisor* driver = under_test.driver;
  vmm::MachineSpec spec = under_test.boot();
  spec.memory_bytes = driver->capabilities().memory_bytes_min - 1;
  const Status small = driver->Check(spec);
  ASSERT_EQ(CodeOf(small), Code::kInvalid);
  ASSERT_FALSE(small.error().causes.empty());
  EXPECT_EQ(small.error().causes[0].field, "spec.memory");
  const auto launched = driver->Launch(spec, kGoOn);
  ASSERT_FALSE(launched.ok()) << "Launch takes what Check refuses";
  EXPECT_EQ(launched.error().code, Code::kInvalid);

  spec = under_test.boot();
  spec.boot.reset();
  EXPECT_EQ(CodeOf(driver->Check(spec)), Code::kInvalid) << "neither boot nor restore";
  spec.restore = vmm::RestoreSource{"/absent", -1, "another-format-1"};
  const Status foreign = driver->Check(spec);
  ASSERT_EQ(CodeOf(foreign), Code::kInvalid);
  EXPECT_EQ(foreign.error().causes[0].field, "spec.restoreFrom");

  EXPECT_EQ(StateOf(driver, spec.ref), MachineState::kAbsent);
  EXPECT_FALSE(driver->Resume(spec.ref).ok()) << "resumed what is absent";
  EXPECT_FALSE(driver->AskPowerOff(spec.ref).ok()) << "asked what is absent";
  EXPECT_TRUE(driver->Quit(spec.ref).ok());
}

void CheckPauseAndResume(vmm::Hypervisor* driver, const vmm::MachineRef& ref) {
  EXPECT_EQ(StateOf(driver, ref), MachineState::kRunning);
  EXPECT_TRUE(driver->Resume(ref).ok()) << "resuming a running machine succeeds";
  EXPECT_TRUE(driver->Pause(ref).ok());
  EXPECT_EQ(StateOf(driver, ref), MachineState::kPaused);
  EXPECT_TRUE(driver->Pause(ref).ok()) << "pausing a paused machine succeeds";
  EXPECT_TRUE(driver->Resume(ref).ok());
  EXPECT_EQ(StateOf(driver, ref), MachineState::kRunning);
}

void CheckClone(const HypervisorUnderTest& under_test, const vmm::MachineSpec& spec) {
  vmm::Hypervisor* driver = under_test.driver;
  const auto record = driver->Launch(spec, kGoOn);
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(StateOf(driver, spec.ref), MachineState::kLoading);
  EXPECT_EQ(CodeOf(driver->Resume(spec.ref)), Code::kConflict) << "resumed before its load";
  const Status loaded = driver->Load(spec.ref, *spec.restore, kGoOn);
  ASSERT_TRUE(loaded.ok()) << Words(loaded);
  EXPECT_EQ(StateOf(driver, spec.ref), MachineState::kPaused) << "a load must not resume";
  EXPECT_EQ(CodeOf(driver->Load(spec.ref, *spec.restore, kGoOn)), Code::kConflict);
  EXPECT_TRUE(driver->Resume(spec.ref).ok());
  const auto observation = driver->Query(spec.ref);
  ASSERT_TRUE(observation.ok());
  EXPECT_EQ(observation->state, MachineState::kRunning);
  EXPECT_TRUE(observation->restored);
  EXPECT_EQ(observation->process, *record);
  EXPECT_TRUE(driver->Quit(spec.ref).ok());
  EXPECT_EQ(StateOf(driver, spec.ref), MachineState::kAbsent);
}

void CheckAdoption(const HypervisorUnderTest& under_test, const vmm::MachineRef& ref,
                   const process::ProcessRecord& record) {
  vmm::Hypervisor* other = under_test.restart();
  std::promise<std::string> ended;
  std::atomic<int> calls{0};
  std::shared_ptr<void> listening = other->OnExit([&](const std::string& uid) {
    if (calls++ == 0) ended.set_value(uid);
  });
  process::ProcessRecord stranger = record;
  stranger.start_ticks += 1;
  const auto refused = other->Adopt(ref, stranger);
  ASSERT_TRUE(refused.ok());
  EXPECT_FALSE(*refused) << "adopted another process";
  const auto adopted = other->Adopt(ref, record);
  ASSERT_TRUE(adopted.ok()) << adopted.error().message;
  EXPECT_TRUE(*adopted);
  EXPECT_EQ(StateOf(other, ref), MachineState::kRunning);
  EXPECT_TRUE(other->Quit(ref).ok());
  auto future = ended.get_future();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(20)), std::future_status::ready)
      << "the end of an adopted machine was not reported";
  EXPECT_EQ(future.get(), ref.uid);
  listening.reset();
}

}  // namespace

void CheckHypervisorContract(const HypervisorUnderTest& under_test) {
  vmm::Hypervisor* driver = under_test.driver;
  CheckRefusals(under_test);
  if (::testing::Test::HasFatalFailure()) return;
  const vmm::MachineSpec source = under_test.boot();
  const auto record = driver->Launch(source, kGoOn);
  ASSERT_TRUE(record.ok()) << record.error().message;
  const auto again = driver->Launch(source, kGoOn);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Code::kExists);
  CheckPauseAndResume(driver, source.ref);

  auto refused = driver->Snapshot(source.ref, "/absent/directory", kGoOn);
  EXPECT_FALSE(refused.ok());
  EXPECT_EQ(StateOf(driver, source.ref), MachineState::kRunning) << "a failed snapshot must resume";
  auto capture = driver->Snapshot(source.ref, under_test.capture_directory, kGoOn);
  ASSERT_TRUE(capture.ok()) << capture.error().message;
  EXPECT_GT(capture->pause.count(), 0);
  EXPECT_GT(capture->state_bytes, 0U);
  EXPECT_EQ(capture->memory_bytes, source.memory_bytes);
  EXPECT_EQ(StateOf(driver, source.ref), MachineState::kRunning) << "a snapshot must resume";
  CheckClone(under_test, under_test.restore(std::move(*capture), under_test.capture_directory));
  if (::testing::Test::HasFatalFailure()) return;
  EXPECT_EQ(StateOf(driver, source.ref), MachineState::kRunning) << "a clone disturbed its source";
  CheckAdoption(under_test, source.ref, *record);
  EXPECT_EQ(StateOf(driver, source.ref), MachineState::kAbsent);
}

}  // namespace forkplane::testing
