#include "controller/apiserver/loops/gc.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/edits.h"

namespace forkplane::apiserver {
namespace {

constexpr std::string_view kForeground = "foregroundDeletion";
constexpr std::string_view kOrphan = "orphan";

bool Contains(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::pair<std::string, std::string> SplitApiVersion(const std::string& api_version) {
  const std::size_t slash = api_version.find('/');
  if (slash == std::string::npos) return {"", api_version};
  return {api_version.substr(0, slash), api_version.substr(slash + 1)};
}

}  // namespace

GarbageCollector::GarbageCollector(store::ObjectStore& store, const crd::TypeRegistry& registry,
                                   metrics::Registry& metrics)
    : store_(store),
      registry_(registry),
      deleted_(metrics.AddCounter("forkplane_gc_deleted_total",
                                  "Objects deleted because all their owners are gone.")),
      released_(metrics.AddCounter("forkplane_gc_released_total",
                                   "Objects that lost a reference to an owner that is gone.")) {}

void GarbageCollector::Changed(const store::GroupResource& resource,
                               const store::ObjectPtr& object) {
  graph_.Put(resource, object);
  const store::Meta& meta = object->meta;
  if (!meta.owners.empty() || meta.terminating()) marked_.insert(meta.uid);
  // A foreground deletion may wait for this one, or it has just ceased to block it.
  for (const store::OwnerReference& owner : meta.owners) {
    const GraphNode* node = graph_.Find(owner.uid);
    if (node != nullptr && node->object->meta.terminating()) marked_.insert(owner.uid);
  }
}

void GarbageCollector::Gone(const store::ObjectPtr& object) {
  const std::string& uid = object->meta.uid;
  const GraphNode* node = graph_.Find(uid);
  const std::vector<store::OwnerReference> owners =
      node == nullptr ? object->meta.owners : node->object->meta.owners;
  for (const std::string& dependent : graph_.Dependents(uid)) marked_.insert(dependent);
  for (const store::OwnerReference& owner : owners) marked_.insert(owner.uid);
  graph_.Erase(uid);
  marked_.erase(uid);
}

Status GarbageCollector::Collect() {
  Status result = OkStatus();
  const std::set<std::string> work = std::move(marked_);
  marked_.clear();
  for (const std::string& uid : work) {
    Status looked = Look(uid);
    if (looked.ok()) continue;
    marked_.insert(uid);
    result = std::move(looked);
  }
  return result;
}

Status GarbageCollector::Look(const std::string& uid) {
  const GraphNode* node = graph_.Find(uid);
  if (node == nullptr) return OkStatus();
  if (node->object->meta.terminating()) {
    if (node->HasFinalizer(kOrphan)) return FinishOrphan(*node);
    if (node->HasFinalizer(kForeground)) return FinishForeground(*node);
    return OkStatus();  // others' finalizers hold it
  }
  return LookAtDependent(*node);
}

Status GarbageCollector::LookAtDependent(const GraphNode& node) {
  if (node.object->meta.owners.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const OwnersSorted owners, SortOwners(node));
  if (!owners.solid.empty()) {
    std::vector<std::string> dead = owners.dangling;
    dead.insert(dead.end(), owners.waiting.begin(), owners.waiting.end());
    return dead.empty() ? OkStatus() : Release(node, dead);
  }
  if (!owners.waiting.empty()) {
    // Its own dependents go before it, as its owner's do.
    const std::vector<std::string> below = graph_.Dependents(node.object->meta.uid);
    const bool cycle = std::any_of(below.begin(), below.end(), [this](const std::string& uid) {
      const GraphNode* dependent = graph_.Find(uid);
      return dependent != nullptr && dependent->object->meta.terminating();
    });
    if (cycle) RETURN_IF_ERROR(Unblock(node));
    return Remove(
        node, below.empty() ? store::Propagation::kBackground : store::Propagation::kForeground);
  }
  if (owners.dangling.empty()) return OkStatus();  // only foreign references
  store::Propagation propagation = store::Propagation::kBackground;
  if (node.HasFinalizer(kOrphan)) propagation = store::Propagation::kOrphan;
  if (node.HasFinalizer(kForeground)) propagation = store::Propagation::kForeground;
  return Remove(node, propagation);
}

Result<GarbageCollector::OwnersSorted> GarbageCollector::SortOwners(const GraphNode& node) {
  OwnersSorted sorted;
  for (const store::OwnerReference& owner : node.object->meta.owners) {
    const GraphNode* found = graph_.Find(owner.uid);
    if (found == nullptr) {
      ASSIGN_OR_RETURN(const bool exists, LiveOwnerExists(node, owner));
      (exists ? sorted.solid : sorted.dangling).push_back(owner.uid);
    } else if (!MayOwn(found->object->meta, node.object->meta)) {
      continue;
    } else if (found->object->meta.terminating() && found->HasFinalizer(kForeground)) {
      sorted.waiting.push_back(owner.uid);
    } else {
      sorted.solid.push_back(owner.uid);
    }
  }
  return sorted;
}

// The graph may lag behind; before something is believed absent the store is asked. True also when
// nobody can tell, because the kind is not served.
Result<bool> GarbageCollector::LiveOwnerExists(const GraphNode& node,
                                               const store::OwnerReference& owner) {
  const auto [group, version] = SplitApiVersion(owner.api_version);
  crd::ResourceTypePtr type = registry_.FindKind(group, version, owner.kind);
  if (type == nullptr) return true;
  const store::ObjectKey key{.resource = {type->group, type->plural},
                             .ns = type->namespaced ? node.object->meta.ns : std::string(),
                             .name = owner.name};
  ASSIGN_OR_RETURN(const store::ObjectPtr object, store_.Get(key));
  return object != nullptr && object->meta.uid == owner.uid;
}

Status GarbageCollector::FinishForeground(const GraphNode& node) {
  const store::Meta& meta = node.object->meta;
  bool blocked = false;
  for (const std::string& uid : graph_.Dependents(meta.uid)) {
    const GraphNode* dependent = graph_.Find(uid);
    if (dependent == nullptr || !MayOwn(meta, dependent->object->meta)) continue;
    marked_.insert(uid);  // it has a waiting owner now
    for (const store::OwnerReference& owner : dependent->object->meta.owners) {
      blocked = blocked || (owner.uid == meta.uid && owner.block_owner_deletion);
    }
  }
  if (blocked) return OkStatus();  // each of them marks this one again when it goes
  return store::EditObject(store_, node.Key(), meta.uid, store::Part::kMain, [](crd::Json& object) {
    return store::DropFinalizer(object, kForeground);
  });
}

Status GarbageCollector::FinishOrphan(const GraphNode& node) {
  const store::Meta& meta = node.object->meta;
  for (const std::string& uid : graph_.Dependents(meta.uid)) {
    const GraphNode* dependent = graph_.Find(uid);
    if (dependent != nullptr && MayOwn(meta, dependent->object->meta)) {
      RETURN_IF_ERROR(Release(*dependent, {meta.uid}));
    }
  }
  return store::EditObject(store_, node.Key(), meta.uid, store::Part::kMain,
                           [](crd::Json& object) { return store::DropFinalizer(object, kOrphan); });
}

Status GarbageCollector::Release(const GraphNode& node, const std::vector<std::string>& owners) {
  released_.Increment();
  return store::EditObject(store_, node.Key(), node.object->meta.uid, store::Part::kMain,
                           [&owners](crd::Json& object) {
                             crd::Json& references = object["metadata"]["ownerReferences"];
                             if (!references.is_array()) return false;
                             crd::Json kept = crd::Json::array();
                             for (const crd::Json& reference : references) {
                               if (!Contains(owners, reference.value("uid", "")))
                                 kept.push_back(reference);
                             }
                             if (kept.size() == references.size()) return false;
                             references = std::move(kept);
                             return true;
                           });
}

// In a cycle of foreground deletions each would wait for the other: this one stops blocking.
Status GarbageCollector::Unblock(const GraphNode& node) {
  return store::EditObject(store_, node.Key(), node.object->meta.uid, store::Part::kMain,
                           [](crd::Json& object) {
                             bool changed = false;
                             crd::Json& references = object["metadata"]["ownerReferences"];
                             if (!references.is_array()) return false;
                             for (crd::Json& reference : references) {
                               if (!reference.value("blockOwnerDeletion", false)) continue;
                               reference["blockOwnerDeletion"] = false;
                               changed = true;
                             }
                             return changed;
                           });
}

Status GarbageCollector::Remove(const GraphNode& node, store::Propagation propagation) {
  const Result<store::DeleteResult> result = store_.Delete(
      node.Key(), store::DeleteOptions{.uid = node.object->meta.uid, .propagation = propagation});
  if (!result.ok()) {
    // Conflict: another object has taken the name.
    const Code code = result.error().code;
    return code == Code::kNotFound || code == Code::kConflict ? OkStatus() : result.error();
  }
  deleted_.Increment();
  log::Info("collected an object whose owners are gone",
            {{"resource", ToString(node.resource)},
             {"object", store::NamespacedName(node.object->meta.ns, node.object->meta.name)}});
  return OkStatus();
}

}  // namespace forkplane::apiserver
