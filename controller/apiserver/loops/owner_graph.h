// Who owns whom, by uid: the garbage collector's picture of the store.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/store/object_store.h"

namespace forkplane::apiserver {

bool HasFinalizer(const store::Meta& meta, std::string_view name);

struct GraphNode {
  store::GroupResource resource;
  store::ObjectPtr object;

  store::ObjectKey Key() const { return {resource, object->meta.ns, object->meta.name}; }
  bool HasFinalizer(std::string_view name) const {
    return apiserver::HasFinalizer(object->meta, name);
  }
};

// NOTE Threading: one thread.
class OwnerGraph {
 public:
  void Put(const store::GroupResource& resource, const store::ObjectPtr& object);
  void Erase(const std::string& uid);

  // nullptr: not there. Valid until the next Put or Erase of that uid.
  const GraphNode* Find(const std::string& uid) const;
  // The uids of all that name this uid as an owner, whether the owner is there or not.
  std::vector<std::string> Dependents(const std::string& owner_uid) const;

 private:
  std::map<std::string, GraphNode> nodes_;
  std::map<std::string, std::set<std::string>> dependents_;
};

// Whether an owner of this place may own something there: the same namespace, or cluster-scoped.
bool MayOwn(const store::Meta& owner, const store::Meta& dependent);

}  // namespace forkplane::apiserver
