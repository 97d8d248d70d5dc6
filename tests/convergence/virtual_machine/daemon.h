// Everything that dies with the daemon.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/runtime/informer.h"
#include "reconcilers/fork/reconciler.h"
#include "reconcilers/fork_set/reconciler.h"
#include "reconcilers/orphan/reconciler.h"
#include "reconcilers/restore_slot/reconciler.h"
#include "reconcilers/scheduler/reconciler.h"
#include "reconcilers/snapshot/reconciler.h"
#include "reconcilers/snapshot_alias/reconciler.h"
#include "reconcilers/virtual_machine/reconciler.h"
#include "tests/convergence/virtual_machine/world.h"

namespace forkplane::testing {

// The simulated hypervisor needs no TAP.
class NoTaps final : public drivers::TapDriver {
 public:
  Result<drivers::TapFile> ObserveFile(std::uint32_t) override { return drivers::TapFile::kNone; }
  Status Create(const drivers::TapSpec&) override { return Internal("there are no TAPs here"); }
  Result<UniqueFd> Dup(std::uint32_t) override { return NotFound("there are no TAPs here"); }
  Status Adopt(std::uint32_t, pid_t) override { return NotFound("there are no TAPs here"); }
  Status Reattach(const drivers::TapSpec&, pid_t) override { return NotFound("no TAPs here"); }
  Status Forget(std::uint32_t) override { return OkStatus(); }
  Status Delete(std::uint32_t) override { return NotFound("there are no TAPs here"); }
};

struct Daemon {
  explicit Daemon(World& world);

  World& world;
  // The world's door may change while the daemon runs.
  Door door = [this](const std::string& operation, bool after) {
    return world.door(operation, after);
  };
  StoreDoor store{*world.store, door};
  LedgerDoor ledger{*world.ledger, door};
  StorageDoor storage{*world.storage, door};
  HypervisorDoor hypervisor{*world.simulated, door};
  NoTaps taps;
  runtime::InterfaceFactBoard interface_facts;
  runtime::VmmFactBoard vmm_facts;
  runtime::AliasFactBoard alias_facts;
  runtime::UplinkFactBoard uplink_facts;
  runtime::OrphanFactBoard orphan_facts;
  runtime::ComputeBudget compute;
  runtime::Informer<crd::VirtualMachine> vms;
  runtime::Informer<crd::Snapshot> snapshots;
  runtime::Informer<crd::Fork> forks;
  runtime::Informer<crd::ForkSet> fork_sets;
  runtime::Informer<crd::Network> networks;
  runtime::Informer<crd::Host> hosts;
  runtime::StatusWriter statuses;
  runtime::EventRecorder events;
  virtual_machine::VirtualMachineReconciler vm_loop;
  snapshot::SnapshotReconciler snapshot_loop;
  restore_slot::RestoreSlotReconciler slot_loop;
  snapshot_alias::SnapshotAliasReconciler alias_loop;
  fork::ForkReconciler fork_loop;
  fork_set::ForkSetReconciler set_loop;
  orphan::OrphanReconciler orphan_loop;
  scheduler::SchedulerReconciler scheduler_loop;
  runtime::Controller vm_control;
  runtime::Controller snapshot_control;
  runtime::Controller slot_control;
  runtime::Controller alias_control;
  runtime::Controller fork_control;
  runtime::Controller set_control;
  runtime::Controller orphan_control;
  runtime::Controller scheduler_control;
  std::shared_ptr<void> vms_attached;  // destroyed first
  bool begun = false;

  // Reads what changed and takes every key that is ready once; false: there was
  // nothing to do.
  bool Round();
};

}  // namespace forkplane::testing
