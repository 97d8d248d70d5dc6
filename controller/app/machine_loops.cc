#include "controller/app/machine_loops.h"

#include <type_traits>

#include "controller/app/host_facts.h"
#include "reconcilers/fork/reconciler.h"
#include "reconcilers/fork_set/reconciler.h"
#include "reconcilers/orphan/reconciler.h"
#include "reconcilers/restore_slot/reconciler.h"
#include "reconcilers/scheduler/reconciler.h"
#include "reconcilers/snapshot/reconciler.h"
#include "reconcilers/snapshot_alias/reconciler.h"
#include "reconcilers/virtual_machine/reconciler.h"

namespace forkplane::app {
namespace {

// A pass may wait for a VMM (spawn, load), so a burst of forks needs many; they sleep.
constexpr int kVmWorkers = 32;
// Of loops whose passes wait for a commit, which they then share.
constexpr int kForkWorkers = 8;
// Each takes further threads for the length of a burst, up to the second number in all.
constexpr int kForkSetWorkers = 4;
constexpr std::size_t kForkSetWritesAtOnce = 16;
// A capture keeps its worker until the memory is on disk.
constexpr int kSnapshotWorkers = 4;

// A loop and its queue, wired: whatever the loop hears of becomes a key.
template <typename Reconciler>
struct Loop {
  template <typename... Arguments>
  Loop(const LoopNeeds& needs, const char* name, int workers, Arguments&&... arguments)
      : reconciler(std::forward<Arguments>(arguments)...),
        controller({.name = name, .workers = workers}, reconciler, needs.clock, needs.rng,
                   needs.metrics) {}

  void Attach() {
    const auto enqueue = [this](const std::string& key) { controller.Add(key); };
    if constexpr (std::is_void_v<decltype(reconciler.Attach(enqueue))>) {
      reconciler.Attach(enqueue);
    } else {
      attached = reconciler.Attach(enqueue);
    }
  }

  Reconciler reconciler;
  runtime::Controller controller;
  std::shared_ptr<void> attached;  // destroyed first: then nobody calls into the two above
};

std::vector<const vmm::Hypervisor*> Constant(const std::vector<vmm::Hypervisor*>& hypervisors) {
  return {hypervisors.begin(), hypervisors.end()};
}

virtual_machine::Deps VmDeps(const LoopNeeds& n, runtime::EventRecorder& events) {
  return {.store = n.objects,
          .ledger = n.ledger,
          .storage = *n.drivers.storage,
          .templates = *n.drivers.templates,
          .taps = *n.drivers.taps,
          .hypervisors = n.drivers.hypervisors,
          .vms = n.informers.vms,
          .networks = n.informers.networks,
          .snapshots = n.informers.snapshots,
          .hosts = n.informers.hosts,
          .interface_facts = n.boards.interfaces,
          .vmm_facts = n.boards.vmms,
          .alias_facts = n.boards.aliases,
          .uplink_facts = n.boards.uplinks,
          .compute = n.boards.compute,
          .statuses = n.statuses,
          .events = events,
          .clock = n.clock,
          .host_name = n.options.host_name,
          .capacity = ReadCompute()};
}

snapshot::Deps SnapshotDeps(const LoopNeeds& n, runtime::EventRecorder& events) {
  return {.store = n.objects,
          .ledger = n.ledger,
          .storage = *n.drivers.storage,
          .templates = *n.drivers.templates,
          .hypervisors = n.drivers.hypervisors,
          .snapshots = n.informers.snapshots,
          .vms = n.informers.vms,
          .forks = n.informers.forks,
          .fork_sets = n.informers.fork_sets,
          .vmm_facts = n.boards.vmms,
          .statuses = n.statuses,
          .events = events,
          .clock = n.clock,
          .host_name = n.options.host_name};
}

fork::Deps ForkDeps(const LoopNeeds& n, runtime::EventRecorder& events) {
  return {.store = n.objects,
          .forks = n.informers.forks,
          .vms = n.informers.vms,
          .snapshots = n.informers.snapshots,
          .networks = n.informers.networks,
          .hosts = n.informers.hosts,
          .statuses = n.statuses,
          .events = events,
          .clock = n.clock,
          .host_name = n.options.host_name};
}

}  // namespace

struct MachineLoops::Loops {
  Loops(const LoopNeeds& needs, runtime::EventRecorder& events)
      : informers(needs.informers),
        host_name(needs.options.host_name),
        pools(Constant(needs.drivers.hypervisors)),
        placement(needs, "scheduler", kForkWorkers,
                  scheduler::Deps{needs.objects, needs.informers.vms, needs.informers.snapshots,
                                  needs.informers.hosts, needs.statuses, needs.clock,
                                  needs.options.host_name}),
        vms(needs, "virtual_machine", kVmWorkers, VmDeps(needs, events)),
        snapshots(needs, "snapshot", kSnapshotWorkers, SnapshotDeps(needs, events)),
        aliases(needs, "snapshot_alias", 1, needs.informers.vms, needs.boards.aliases,
                needs.metrics),
        slots(needs, "restore_slot", 1,
              restore_slot::Deps{needs.ledger, needs.informers.hosts, pools, needs.clock,
                                 needs.metrics, needs.options.host_name}),
        forks(needs, "fork", kForkWorkers, ForkDeps(needs, events)),
        fork_sets(needs, "fork_set", kForkSetWorkers,
                  fork_set::Deps{needs.objects, needs.informers.fork_sets, needs.informers.forks,
                                 needs.informers.vms, needs.informers.snapshots, needs.statuses,
                                 events, needs.clock, kForkSetWritesAtOnce}),
        orphans(
            needs, "orphan", 1,
            orphan::Deps{needs.ledger, needs.informers.vms, needs.informers.hosts,
                         needs.boards.orphans, events, needs.metrics, needs.options.host_name}) {}

  template <typename Call>
  void ForEach(Call call) {
    call(placement);
    call(vms);
    call(snapshots);
    call(aliases);
    call(slots);
    call(forks);
    call(fork_sets);
    call(orphans);
  }

  Informers& informers;
  const std::string host_name;
  const std::vector<const vmm::Hypervisor*> pools;
  Loop<scheduler::SchedulerReconciler> placement;
  Loop<virtual_machine::VirtualMachineReconciler> vms;
  Loop<snapshot::SnapshotReconciler> snapshots;
  Loop<snapshot_alias::SnapshotAliasReconciler> aliases;
  Loop<restore_slot::RestoreSlotReconciler> slots;
  Loop<fork::ForkReconciler> forks;
  Loop<fork_set::ForkSetReconciler> fork_sets;
  Loop<orphan::OrphanReconciler> orphans;
};

MachineLoops::MachineLoops(LoopNeeds needs, runtime::EventRecorder& events)
    : loops_(std::make_unique<Loops>(needs, events)) {}

MachineLoops::~MachineLoops() { Stop(); }

void MachineLoops::Attach() {
  loops_->ForEach([](auto& loop) { loop.Attach(); });
}

void MachineLoops::Start() {
  loops_->vms.reconciler.HoldRunning();
  loops_->ForEach([](auto& loop) { loop.controller.Start(); });
}

void MachineLoops::Stop() {
  loops_->ForEach([](auto& loop) { loop.controller.Stop(); });
}

// VMs, snapshots, forks and sets ask to be looked at again by themselves (Next::After).
void MachineLoops::Resync() {
  loops_->orphans.controller.Add(loops_->host_name);
  for (const vmm::Hypervisor* pool : loops_->pools) {
    loops_->slots.controller.Add(pool->capabilities().name);
  }
}

std::vector<runtime::Controller*> MachineLoops::Controllers() {
  std::vector<runtime::Controller*> all;
  loops_->ForEach([&all](auto& loop) { all.push_back(&loop.controller); });
  return all;
}

}  // namespace forkplane::app
