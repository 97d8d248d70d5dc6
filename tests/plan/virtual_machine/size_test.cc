// Goal: a machine that neither the hypervisor nor the host can ever have is refused by name, with
// the bound, before anything is claimed; what fits is not. Method: one row for each size.
#include <gtest/gtest.h>

#include "reconcilers/virtual_machine/desire.h"

namespace forkplane::virtual_machine {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

Inputs MachineOf(std::int64_t cpus, const std::string& memory) {
  auto vm = std::make_shared<crd::VirtualMachine>();
  vm->metadata.name = "one";
  vm->spec.cpus = cpus;
  vm->spec.memory = crd::Quantity::Parse(memory).value();
  vm->spec.interfaces.clear();  // no Network has to exist
  vm->spec.boot.kernel = "/images/vmlinux";
  vmm::Capabilities qemu;
  qemu.name = "qemu";
  qemu.accelerator = "kvm";
  qemu.memory_bytes_min = 32 * kMiB;
  qemu.cpus_max = 8;
  Inputs inputs;
  inputs.vm = std::move(vm);
  inputs.host_name = "here";
  inputs.host = std::make_shared<crd::Host>();
  inputs.capacity = {4, 1024 * kMiB, 0};
  inputs.hypervisors = {qemu};
  return inputs;
}

struct Row {
  std::int64_t cpus;
  std::string memory;
  std::string reason;  // "": it fits
  std::string message;
};

TEST(SizeTest, WhatCannotBeIsNamedWithItsBound) {
  const std::vector<Row> rows = {
      {8, "1Gi", "", ""},
      {1, "32Mi", "", ""},
      {9, "64Mi", "TooManyCpus", "spec.cpus: qemu has at most 8"},
      {1, "31Mi", "MemoryTooSmall", "spec.memory: qemu needs at least 32Mi"},
      {1, "1025Mi", "MemoryTooLarge", "spec.memory: 1025Mi is more than this host has (1Gi)"},
  };
  for (const Row& row : rows) {
    const Desired desired = Desire(MachineOf(row.cpus, row.memory));
    ASSERT_EQ(desired.block.has_value(), !row.reason.empty())
        << row.cpus << " " << row.memory << ": " << (desired.block ? desired.block->message : "");
    if (!desired.block) continue;
    EXPECT_EQ(desired.block->reason, row.reason);
    EXPECT_EQ(desired.block->message, row.message);
    EXPECT_TRUE(desired.block->terminal) << "waiting does not help";
    EXPECT_TRUE(desired.claims.empty());
  }
}

TEST(SizeTest, AHostOfUnknownSizeAndADriverWithoutGuestsRefuseNoMemory) {
  Inputs unknown = MachineOf(1, "1025Mi");
  unknown.capacity = {};
  EXPECT_FALSE(Desire(unknown).block.has_value());
  Inputs simulated = MachineOf(1, "1025Mi");
  simulated.hypervisors.front().accelerator = "none";
  EXPECT_FALSE(Desire(simulated).block.has_value());
}

}  // namespace
}  // namespace forkplane::virtual_machine
