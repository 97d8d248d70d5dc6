// What one pass reads about a VM: the API objects it names, its leases, its process, its files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"
#include "drivers/vmm/hypervisor.h"
#include "reconcilers/virtual_machine/deps.h"
#include "reconcilers/virtual_machine/desire.h"
#include "reconcilers/virtual_machine/memory.h"
#include "reconcilers/virtual_machine/plan.h"

namespace forkplane::virtual_machine {

// The files a start needs, opened before anything is claimed for it.
struct StartFiles {
  UniqueFd kernel;
  UniqueFd initramfs;
  UniqueFd memory;  // the snapshot's
};

// Everything one pass knows. The plan needs desired.state and observed; executing it and writing
// the status need the rest.
struct Context {
  Inputs inputs;
  Desired desired;
  Observed observed;
  std::optional<ledger::VmLease> lease;
  vmm::Observation machine;
  vmm::Hypervisor* hypervisor = nullptr;       // whose driver `machine` was asked of
  std::vector<runtime::InterfaceFacts> facts;  // of lease->interfaces, in their order
  StartFiles files;

  const crd::VirtualMachine& vm() const { return *inputs.vm; }
  vmm::MachineRef ref = {};
};

// Invalid or NotFound of an image is a Block, not an error. Unavailable: the driver of a machine
// that may be running is not on this host.
Result<Context> Observe(const Deps& deps, std::shared_ptr<const crd::VirtualMachine> vm,
                        const VmMemory& memory);

Networks NetworksOf(const Deps& deps, const crd::VirtualMachineSpec& spec);

ledger::VmmRecord ToLedger(const process::ProcessRecord& record, const std::string& cgroup);
process::ProcessRecord ToProcess(const ledger::VmmRecord& record);

}  // namespace forkplane::virtual_machine
