// Which change concerns which VM. Every handler only adds keys.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "reconcilers/virtual_machine/reconciler.h"

namespace forkplane::virtual_machine {
namespace {

using Enqueue = std::function<void(const std::string& key)>;
using NetworkChange = runtime::Informer<crd::Network>::Change;
using SnapshotChange = runtime::Informer<crd::Snapshot>::Change;

bool Uses(const crd::VirtualMachine& vm, const std::string& network) {
  return std::any_of(
      vm.spec.interfaces.begin(), vm.spec.interfaces.end(),
      [&network](const crd::Interface& interface) { return interface.network == network; });
}

// A Network's status changes with every lease; a VM reads only its spec and its deletion.
bool Matters(const NetworkChange& change) {
  if (!change.before || !change.after) return true;
  return !(change.before->spec == change.after->spec) ||
         change.before->metadata.deletion_timestamp != change.after->metadata.deletion_timestamp;
}

bool Matters(const SnapshotChange& change) {
  if (!change.before || !change.after) return true;
  return change.before->status.phase != change.after->status.phase ||
         change.before->metadata.deletion_timestamp != change.after->metadata.deletion_timestamp;
}

bool Matters(const runtime::Informer<crd::Host>::Change& change) {
  if (!change.before || !change.after) return true;
  return !(change.before->spec == change.after->spec);
}

bool Restores(const crd::VirtualMachine& vm, const std::string& snapshot) {
  return vm.spec.restore_from && vm.spec.restore_from->snapshot_name == snapshot;
}

}  // namespace

void VirtualMachineReconciler::EnqueueUid(const std::string& uid, const Enqueue& enqueue) {
  const std::shared_ptr<const crd::VirtualMachine> vm = deps_.vms.GetByUid(uid);
  if (vm) enqueue(vm->metadata.Key());
}

void VirtualMachineReconciler::AttachObjects(const Enqueue& enqueue) {
  deps_.vms.AddHandler([this, enqueue](const runtime::Informer<crd::VirtualMachine>::Change& c) {
    if (!c.after) {
      deps_.vmm_facts.Retract(c.before->metadata.uid);
      deps_.compute.Free(c.before->metadata.uid);
    }
    enqueue(c.key);
  });
  deps_.networks.AddHandler([this, enqueue](const NetworkChange& change) {
    if (!Matters(change)) return;
    for (const auto& vm : deps_.vms.List()) {
      if (Uses(*vm, change.any().metadata.name)) enqueue(vm->metadata.Key());
    }
  });
  deps_.hosts.AddHandler([this, enqueue](const runtime::Informer<crd::Host>::Change& change) {
    if (change.key != deps_.host_name || !Matters(change)) return;
    for (const auto& vm : deps_.vms.List()) {
      if (IsOurs(*vm)) enqueue(vm->metadata.Key());
    }
  });
  deps_.snapshots.AddHandler([this, enqueue](const SnapshotChange& change) {
    if (!Matters(change)) return;
    for (const auto& vm : deps_.vms.ListIn(change.any().metadata.ns)) {
      if (Restores(*vm, change.any().metadata.name)) enqueue(vm->metadata.Key());
    }
  });
}

std::shared_ptr<void> VirtualMachineReconciler::Attach(Enqueue enqueue) {
  AttachObjects(enqueue);
  auto handles = std::make_shared<std::vector<std::shared_ptr<void>>>();
  handles->push_back(deps_.ledger.Subscribe([this, enqueue](const ledger::Change& change) {
    if (!change.owner_uid.empty()) return EnqueueUid(change.owner_uid, enqueue);
    if (change.kind != ledger::Change::Kind::kNetwork) return;
    // A Network was leased: the VMs that waited for it have no lease yet.
    for (const auto& vm : deps_.vms.List()) {
      const bool waits = Uses(*vm, change.network_name) && !deps_.ledger.GetVm(vm->metadata.uid);
      if (waits) enqueue(vm->metadata.Key());
    }
  }));
  deps_.interface_facts.Subscribe([this, enqueue](const std::string& key) {
    const std::optional<ledger::LeaseId> id = ledger::LeaseIdOf(key);
    if (!id) return;
    const std::optional<ledger::InterfaceLease> lease = deps_.ledger.GetInterface(*id);
    if (lease) EnqueueUid(lease->owner.uid, enqueue);
  });
  deps_.alias_facts.Subscribe(
      [this, enqueue](const std::string& uid) { EnqueueUid(uid, enqueue); });
  for (vmm::Hypervisor* hypervisor : deps_.hypervisors) {
    handles->push_back(
        hypervisor->OnExit([this, enqueue](const std::string& uid) { EnqueueUid(uid, enqueue); }));
  }
  return handles;
}

}  // namespace forkplane::virtual_machine
