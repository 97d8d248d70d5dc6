// What the API objects ask of this host for one VirtualMachine, and what prevents it: pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/ledger/ledger.h"
#include "controller/runtime/compute_budget.h"
#include "crd/host.h"
#include "crd/network.h"
#include "crd/snapshot.h"
#include "crd/virtual_machine.h"
#include "drivers/storage_driver.h"
#include "drivers/vmm/hypervisor.h"
#include "reconcilers/virtual_machine/plan.h"
#include "reconcilers/virtual_machine/run_record.h"

namespace forkplane::virtual_machine {

// Why no start may begin. `condition` and Ready show it; nothing is claimed or made.
struct Block {
  std::string_view condition;
  std::string_view reason;
  std::string message;    // names the field and the remedy
  bool terminal = false;  // nothing but another spec helps: Stalled
};

using Networks = std::map<std::string, std::shared_ptr<const crd::Network>>;  // by name; null: none

struct Inputs {
  std::shared_ptr<const crd::VirtualMachine> vm;
  std::string host_name;
  std::shared_ptr<const crd::Host> host;  // this host; null: it does not exist (yet)
  runtime::ComputeAmount capacity;        // of this host; 0: not known
  Networks networks;
  std::shared_ptr<const crd::Snapshot> snapshot;  // of restoreFrom, or null
  std::optional<storage::SnapshotManifest> manifest;
  std::vector<vmm::Capabilities> hypervisors;  // the first is the host's default
  std::optional<RunRecord> run;
  bool recorded = false;  // the ledger has a VMM record: the guest has run
};

// How the next start is done.
struct Blueprint {
  std::string hypervisor;
  std::int64_t cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::int64_t upload_bits_per_second = 0;  // guaranteed to its interfaces together
  crd::Boot boot;
  std::vector<std::string> dns;  // of the first interface's Network, at most two
  std::string snapshot_uid;      // empty: boots
  std::string state_format;
  // The snapshot must still be loaded into memory by its own loop.
  bool needs_template = false;

  runtime::ComputeAmount Compute() const {
    return {cpus, static_cast<std::int64_t>(memory_bytes), upload_bits_per_second};
  }
};

struct Desired {
  DesiredState state;
  bool drained = false;  // stopped because its host is drained, not by its own spec
  std::optional<Block> block;
  Blueprint blueprint;
  std::vector<ledger::InterfaceClaim> claims;
};

Desired Desire(const Inputs& inputs);

// The sum of the upload rates of all interfaces, each at most the uplink's (0: not known). An
// interface whose Network does not exist has none.
std::int64_t GuaranteedUpload(const crd::VirtualMachineSpec& spec, const Networks& networks,
                              std::int64_t uplink_bits_per_second);

// What the host may promise its machines.
runtime::ComputeLimit LimitOf(const Inputs& inputs);

// The hypervisor whose driver is asked about a machine that may exist already. Empty: the host has
// none.
std::string CurrentHypervisor(const Inputs& inputs);

// The memory of a machine that boots: spec.memory, rounded up to a multiple that the hypervisor
// takes. Null capabilities: spec.memory.
std::uint64_t MemoryBytes(const crd::VirtualMachineSpec& spec, const vmm::Capabilities* hypervisor);

// Whether the lease is what the claim asks for.
bool Satisfies(const ledger::InterfaceLease& lease, const ledger::InterfaceClaim& claim);

// The user's command line with the guest's address: `ip=` for the kernel's own set-up, fk.ip and
// fk.gw for an init whose kernel lacks it. A user's own `ip=` is kept as it is.
std::string BootCmdline(const std::string& user, Ipv4 address, const Cidr& cidr, Ipv4 gateway,
                        const std::vector<std::string>& dns);

}  // namespace forkplane::virtual_machine
