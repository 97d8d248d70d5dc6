// The garbage collector: what was owned goes when all its owners are gone; foreground deletion
// waits for what blocks it, orphaning lets go of it (design: "Delete, finalizers, GC").
//
// The rules, per dependent, by what its owner references lead to:
//   solid     the owner is there (checked in the store itself before anything is believed absent),
//             or its kind is not served here: nobody can say that it is gone
//   waiting   the owner is being deleted in the foreground and waits for its dependents
//   dangling  no object of that uid exists
//   foreign   the owner lives in another namespace: such a reference means nothing and is ignored
// A solid owner keeps the dependent; the other references are then taken away. Without a solid
// owner, a waiting or dangling one gets it deleted.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "controller/apiserver/loops/owner_graph.h"
#include "controller/base/metrics.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

// NOTE Threading: one thread, that of the background loops.
// NOTE Metrics: forkplane_gc_deleted_total, forkplane_gc_released_total.
class GarbageCollector {
 public:
  GarbageCollector(store::ObjectStore& store, const crd::TypeRegistry& registry,
                   metrics::Registry& metrics);

  // An object is there in this state, or is gone. Marks what must be looked at again.
  void Changed(const store::GroupResource& resource, const store::ObjectPtr& object);
  void Gone(const store::ObjectPtr& object);

  // Looks at everything marked. Call only when every resource was listed once, or the live look-ups
  // cost more than they should. What failed stays marked; the error is the last one.
  Status Collect();
  bool idle() const { return marked_.empty(); }

 private:
  struct OwnersSorted {
    std::vector<std::string> solid;  // uids
    std::vector<std::string> waiting;
    std::vector<std::string> dangling;
  };

  Status Look(const std::string& uid);
  Status LookAtDependent(const GraphNode& node);
  Status FinishForeground(const GraphNode& node);
  Status FinishOrphan(const GraphNode& node);
  Result<OwnersSorted> SortOwners(const GraphNode& node);
  Result<bool> LiveOwnerExists(const GraphNode& node, const store::OwnerReference& owner);
  Status Release(const GraphNode& node, const std::vector<std::string>& owners);
  Status Unblock(const GraphNode& node);
  Status Remove(const GraphNode& node, store::Propagation propagation);

  store::ObjectStore& store_;
  const crd::TypeRegistry& registry_;
  metrics::Counter deleted_;
  metrics::Counter released_;
  OwnerGraph graph_;
  std::set<std::string> marked_;
};

}  // namespace forkplane::apiserver
