// One test body for every hypervisor driver: what hypervisor.h promises, whoever drives.
#pragma once

#include <functional>
#include <string>

#include "drivers/vmm/hypervisor.h"

namespace forkplane::testing {

// What a driver's test supplies. Specs come with their directories made.
struct HypervisorUnderTest {
  vmm::Hypervisor* driver = nullptr;
  // A second driver on the same machines, as a restarted daemon has.
  std::function<vmm::Hypervisor*()> restart;
  std::function<vmm::MachineSpec()> boot;
  // The spec of a clone from what was captured into `directory`.
  std::function<vmm::MachineSpec(vmm::Capture capture, const std::string& directory)> restore;
  std::string capture_directory;
};

// Reports by gtest expectations; stops at the first that makes the rest meaningless.
void CheckHypervisorContract(const HypervisorUnderTest& under_test);

}  // namespace forkplane::testing
