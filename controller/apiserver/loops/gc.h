// The garbage collector: what was owned goes when all its owners are gone; foreground deletion
// waits for what blocks it, orphaning lets go of it (design: "Delete, finalizers, GC").
//
// The graph says only what to look at. Every judgement reads the dependent and its owners from the
// store at that moment, and a deletion is bound to the uid and the revision that were judged: an
// object that was given another owner meanwhile is judged again instead. The rules, per dependent,
// by what its owner references lead to:
//   solid    the owner is there
//   waiting  the owner is being deleted in the foreground and waits for its dependents
//   absent   no object of that uid is where the reference says
//   unclear  nobody can say that it is gone: its kind is not served here, or the dependent is
//            cluster-scoped and the kind namespaced, so that the reference names no place
// An unclear owner keeps the dependent as it is. A solid one keeps it too; the other references are
// then taken away. Without those, a waiting or absent one gets it deleted. Kubernetes decides the
// same (pkg/controller/garbagecollector, 1.32), and like it a reference into another namespace
// counts as absent and is told as OwnerRefInvalidNamespace.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/apiserver/loops/owner_graph.h"
#include "controller/base/metrics.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

// Tells the people of an object: a Warning Event. Must not block; may be empty.
using Tell = std::function<void(const store::Object& about, std::string_view reason,
                                const std::string& message)>;

// NOTE Threading: one thread, that of the background loops.
// NOTE Metrics: forkplane_gc_deleted_total, forkplane_gc_released_total,
//   forkplane_gc_invalid_references_total.
class GarbageCollector {
 public:
  GarbageCollector(store::ObjectStore& store, const crd::TypeRegistry& registry,
                   metrics::Registry& metrics, Tell tell = {});

  // An object is there in this state, or is gone. Marks what must be looked at again.
  void Changed(const store::GroupResource& resource, const store::ObjectPtr& object);
  void Gone(const store::ObjectPtr& object);

  // Looks at everything marked. Call only when every resource was listed once. `seen`: every event
  // up to this revision was given to Changed or Gone; an owner waits for that before it lets go of
  // its dependents, or one that was made just before the owner was deleted would be missed. What
  // failed stays marked; the error is the last one.
  Status Collect(store::Revision seen);
  bool idle() const { return marked_.empty(); }

 private:
  struct OwnersSorted {
    std::vector<std::string> solid;  // uids
    std::vector<std::string> waiting;
    std::vector<std::string> absent;
    bool unclear = false;
  };

  Status Look(const std::string& uid, store::Revision seen);
  Status LookAtDependent(const GraphNode& node);
  Result<bool> Judge(const GraphNode& node, const store::Object& live);
  Status FinishForeground(const GraphNode& node);
  Status FinishOrphan(const GraphNode& node);
  Result<bool> AnyTerminating(const std::vector<std::string>& uids);
  Result<OwnersSorted> SortOwners(const store::Object& live);
  void TellOfPlace(const store::Object& live, const store::OwnerReference& owner);
  Status Release(const GraphNode& node, const std::vector<std::string>& owners);
  Status Unblock(const GraphNode& node);
  Result<bool> Remove(const GraphNode& node, const store::Object& live,
                      store::Propagation propagation);

  store::ObjectStore& store_;
  const crd::TypeRegistry& registry_;
  metrics::Counter deleted_;
  metrics::Counter released_;
  metrics::Counter invalid_;
  Tell tell_;
  OwnerGraph graph_;
  std::set<std::string> marked_;
  std::map<std::string, std::set<std::string>> told_;  // by dependent: owners told of, uids
};

}  // namespace forkplane::apiserver
