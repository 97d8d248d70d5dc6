// Who uses a snapshot: the VMs that were or will be restored from it, the Forks and ForkSets that
// name it.
//
// NOTE No race with a deletion: an object created no later than the deletion was asked for is a
// user. One created later is none, and its own loop (virtual_machine, fork) refuses the snapshot.
// Both sides compare the same two immutable timestamps, so neither needs to know what the other has
// observed. Before the files are removed, users are read from the store itself, not from a cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "crd/types.h"
#include "reconcilers/snapshot/deps.h"

namespace forkplane::snapshot {

struct Candidates {
  std::vector<std::shared_ptr<const crd::VirtualMachine>> vms;
  std::vector<std::shared_ptr<const crd::Fork>> forks;
  std::vector<std::shared_ptr<const crd::ForkSet>> fork_sets;
};

// All objects of the snapshot's namespace, as cached.
Candidates CachedCandidates(const Deps& deps, const std::string& ns);
// The same, read from the store now.
Result<Candidates> StoredCandidates(store::ObjectStore& store, const std::string& ns);

// "Fork/a", "ForkSet/b", "VirtualMachine/c", sorted. While the snapshot is being deleted: only
// those created before the deletion.
std::vector<std::string> UsersOf(const crd::Snapshot& snapshot, const Candidates& candidates);

}  // namespace forkplane::snapshot
