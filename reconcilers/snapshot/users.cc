#include "reconcilers/snapshot/users.h"

#include <algorithm>
#include <utility>

#include "controller/runtime/typed_object.h"
#include "crd/well_known.h"

namespace forkplane::snapshot {
namespace {

bool CameInTime(const crd::ObjectMeta& user, const crd::ObjectMeta& snapshot) {
  // RFC 3339 in UTC with seconds: the order of the texts is the order of the times.
  return !snapshot.IsBeingDeleted() || user.creation_timestamp <= snapshot.deletion_timestamp;
}

bool Uses(const crd::VirtualMachine& vm, const crd::Snapshot& snapshot) {
  const crd::ObjectMeta& meta = snapshot.metadata;
  const auto pin = vm.metadata.annotations.find(std::string(crd::kSnapshotUidAnnotation));
  if (pin != vm.metadata.annotations.end()) return pin->second == meta.uid;
  return vm.spec.restore_from && vm.spec.restore_from->snapshot_name == meta.name &&
         CameInTime(vm.metadata, meta);
}

bool Names(const crd::ForkSource& source, const std::string& taken, const crd::ObjectMeta& meta) {
  const bool by_source = source.kind == crd::ForkSourceKind::kSnapshot && source.name == meta.name;
  return by_source || taken == meta.name;
}

// A Fork that is being deleted is no user: it makes no VM any more, and a VM it made is a user
// itself. Otherwise its foreground deletion would wait for the snapshot, and the snapshot for it.
bool Uses(const crd::Fork& fork, const crd::Snapshot& snapshot) {
  return !fork.metadata.IsBeingDeleted() &&
         Names(fork.spec.source, fork.status.snapshot_name, snapshot.metadata) &&
         CameInTime(fork.metadata, snapshot.metadata);
}

bool Uses(const crd::ForkSet& set, const crd::Snapshot& snapshot) {
  return !set.metadata.IsBeingDeleted() &&
         Names(set.spec.fork_template.spec.source, set.status.snapshot_name, snapshot.metadata) &&
         CameInTime(set.metadata, snapshot.metadata);
}

template <typename T>
void Collect(const std::vector<std::shared_ptr<const T>>& candidates, const crd::Snapshot& snapshot,
             std::vector<std::string>& users) {
  for (const std::shared_ptr<const T>& candidate : candidates) {
    if (Uses(*candidate, snapshot)) {
      users.push_back(std::string(T::kKind) + "/" + candidate->metadata.name);
    }
  }
}

template <typename T>
Status ListInto(store::ObjectStore& store, const std::string& ns,
                std::vector<std::shared_ptr<const T>>& values) {
  store::ListOptions options;
  options.ns = ns;
  ASSIGN_OR_RETURN(const store::ListResult list, store.List(runtime::ResourceOf<T>(), options));
  for (const store::ObjectPtr& object : list.items) {
    ASSIGN_OR_RETURN(T value, T::FromText(object->text));
    values.push_back(std::make_shared<const T>(std::move(value)));
  }
  return OkStatus();
}

}  // namespace

Candidates CachedCandidates(const Deps& deps, const std::string& ns) {
  return {deps.vms.ListIn(ns), deps.forks.ListIn(ns), deps.fork_sets.ListIn(ns)};
}

Result<Candidates> StoredCandidates(store::ObjectStore& store, const std::string& ns) {
  Candidates candidates;
  RETURN_IF_ERROR(ListInto(store, ns, candidates.vms));
  RETURN_IF_ERROR(ListInto(store, ns, candidates.forks));
  RETURN_IF_ERROR(ListInto(store, ns, candidates.fork_sets));
  return candidates;
}

std::vector<std::string> UsersOf(const crd::Snapshot& snapshot, const Candidates& candidates) {
  std::vector<std::string> users;
  Collect(candidates.forks, snapshot, users);
  Collect(candidates.fork_sets, snapshot, users);
  Collect(candidates.vms, snapshot, users);
  std::sort(users.begin(), users.end());
  return users;
}

}  // namespace forkplane::snapshot
