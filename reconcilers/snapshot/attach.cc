// Which change concerns which snapshot. Every handler only adds keys.
#include <string>

#include "reconcilers/snapshot/reconciler.h"

namespace forkplane::snapshot {
namespace {

using Enqueue = std::function<void(const std::string& key)>;

void EnqueueNamed(const Enqueue& enqueue, const std::string& ns, const std::string& name) {
  if (!name.empty()) enqueue(store::NamespacedName(ns, name));
}

void EnqueueSource(const Enqueue& enqueue, const std::string& ns, const crd::ForkSource& source) {
  if (source.kind == crd::ForkSourceKind::kSnapshot) EnqueueNamed(enqueue, ns, source.name);
}

// Enqueues the snapshots that are still to be taken of this VM.
void EnqueueTakenOf(const Deps& deps, const Enqueue& enqueue, const crd::ObjectMeta& vm) {
  for (const auto& snapshot : deps.snapshots.ListIn(vm.ns)) {
    const bool waits = snapshot->status.phase != crd::SnapshotPhase::kReady;
    if (waits && snapshot->spec.source.virtual_machine_name == vm.name) {
      enqueue(snapshot->metadata.Key());
    }
  }
}

// A snapshot depends only on whether a user exists, not on the user's content.
template <typename Change>
bool CameOrWent(const Change& change) {
  return !change.before || !change.after ||
         change.before->metadata.IsBeingDeleted() != change.after->metadata.IsBeingDeleted();
}

}  // namespace

void SnapshotReconciler::Attach(const Enqueue& enqueue) {
  deps_.snapshots.AddHandler(
      [enqueue](const runtime::Informer<crd::Snapshot>::Change& change) { enqueue(change.key); });
  deps_.vms.AddHandler([this, enqueue](const runtime::Informer<crd::VirtualMachine>::Change& c) {
    if (!CameOrWent(c)) return;
    const crd::VirtualMachine& vm = c.any();
    if (vm.spec.restore_from) {
      EnqueueNamed(enqueue, vm.metadata.ns, vm.spec.restore_from->snapshot_name);
    }
    EnqueueTakenOf(deps_, enqueue, vm.metadata);
  });
  deps_.forks.AddHandler([enqueue](const runtime::Informer<crd::Fork>::Change& change) {
    const crd::Fork& fork = change.any();
    if (CameOrWent(change)) EnqueueSource(enqueue, fork.metadata.ns, fork.spec.source);
    EnqueueNamed(enqueue, fork.metadata.ns, fork.status.snapshot_name);
  });
  deps_.fork_sets.AddHandler([enqueue](const runtime::Informer<crd::ForkSet>::Change& change) {
    const crd::ForkSet& set = change.any();
    if (CameOrWent(change)) {
      EnqueueSource(enqueue, set.metadata.ns, set.spec.fork_template.spec.source);
    }
    EnqueueNamed(enqueue, set.metadata.ns, set.status.snapshot_name);
  });
  // A source came up: a snapshot that waited for it may be taken.
  deps_.vmm_facts.Subscribe([this, enqueue](const std::string& uid) {
    const auto vm = deps_.vms.GetByUid(uid);
    if (vm) EnqueueTakenOf(deps_, enqueue, vm->metadata);
  });
}

}  // namespace forkplane::snapshot
