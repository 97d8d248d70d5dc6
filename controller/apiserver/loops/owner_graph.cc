#include "controller/apiserver/loops/owner_graph.h"

#include <algorithm>

namespace forkplane::apiserver {

bool HasFinalizer(const store::Meta& meta, std::string_view name) {
  return std::find(meta.finalizers.begin(), meta.finalizers.end(), name) != meta.finalizers.end();
}

void OwnerGraph::Put(const store::GroupResource& resource, const store::ObjectPtr& object) {
  const std::string& uid = object->meta.uid;
  Erase(uid);
  for (const store::OwnerReference& owner : object->meta.owners) {
    dependents_[owner.uid].insert(uid);
  }
  nodes_[uid] = {resource, object};
}

void OwnerGraph::Erase(const std::string& uid) {
  const auto it = nodes_.find(uid);
  if (it == nodes_.end()) return;
  for (const store::OwnerReference& owner : it->second.object->meta.owners) {
    const auto entry = dependents_.find(owner.uid);
    if (entry == dependents_.end()) continue;
    entry->second.erase(uid);
    if (entry->second.empty()) dependents_.erase(entry);
  }
  nodes_.erase(it);
}

const GraphNode* OwnerGraph::Find(const std::string& uid) const {
  const auto it = nodes_.find(uid);
  return it == nodes_.end() ? nullptr : &it->second;
}

std::vector<std::string> OwnerGraph::Dependents(const std::string& owner_uid) const {
  const auto it = dependents_.find(owner_uid);
  if (it == dependents_.end()) return {};
  return {it->second.begin(), it->second.end()};
}

bool MayOwn(const store::Meta& owner, const store::Meta& dependent) {
  return owner.ns.empty() || owner.ns == dependent.ns;
}

}  // namespace forkplane::apiserver
