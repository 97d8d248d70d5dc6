// Goal: the QEMU driver keeps the contract every hypervisor driver keeps, with real processes.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/kernel/qemu/guest_network.h"
#include "tests/kernel/qemu/qemu_world.h"
#include "tests/support/hypervisor_contract.h"

namespace forkplane::testing {
namespace {

TEST(QemuContractTest, KeepsTheContract) {
  auto made = QemuWorld::Make();
  if (!made.ok()) GTEST_SKIP() << made.error().message;
  QemuWorld& world = **made;
  const auto source_tap = MakeTap("src");
  const auto clone_tap = MakeTap("clone");
  ASSERT_TRUE(source_tap.ok() && clone_tap.ok());
  const auto restarted = vmm::Qemu::Open(testing::QemuWorld::Options(), world.processes.get());
  ASSERT_TRUE(restarted.ok());
  const auto stage = world.storage->BeginSnapshot("captured");
  ASSERT_TRUE(stage.ok());
  UniqueFd memory;  // the clone's template, alive as long as the test
  HypervisorUnderTest under_test;
  under_test.driver = world.qemu.get();
  under_test.restart = [&] { return restarted->get(); };
  under_test.boot = [&] {
    vmm::MachineSpec spec = *world.NewMachine("source", source_tap->get());
    EXPECT_TRUE(world.BootFromGuest(&spec).ok());
    return spec;
  };
  under_test.restore = [&](vmm::Capture capture, const std::string& directory) {
    EXPECT_TRUE(storage::Seal(capture.memory).ok());
    memory = std::move(capture.memory);
    vmm::MachineSpec spec = *world.NewMachine("clone", clone_tap->get());
    spec.restore.emplace();
    spec.restore->state_path = directory + "/state";
    spec.restore->memory_fd = memory.get();
    spec.restore->state_format = world.qemu->capabilities().state_format;
    return spec;
  };
  under_test.capture_directory = stage->directory;
  CheckHypervisorContract(under_test);
  const Status cleared = world.Clear();
  EXPECT_TRUE(cleared.ok()) << cleared.error().message;
}

}  // namespace
}  // namespace forkplane::testing
