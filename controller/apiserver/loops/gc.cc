#include "controller/apiserver/loops/gc.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/edits.h"
#include "controller/store/errors.h"

namespace forkplane::apiserver {
namespace {

constexpr std::string_view kForeground = "foregroundDeletion";
constexpr std::string_view kOrphan = "orphan";

// Judged anew because the object changed in between; then it waits for the next pass.
constexpr int kJudgementsMax = 5;

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
                                   metrics::Registry& metrics, Tell tell)
    : store_(store),
      registry_(registry),
      deleted_(metrics.AddCounter("forkplane_gc_deleted_total",
                                  "Objects deleted because all their owners are gone.")),
      released_(metrics.AddCounter("forkplane_gc_released_total",
                                   "Objects that lost a reference to an owner that is gone.")),
      invalid_(metrics.AddCounter(
          "forkplane_gc_invalid_references_total",
          "Owner references into a namespace that the dependent is not in, each told once.")),
      tell_(std::move(tell)) {}

void GarbageCollector::Changed(const store::GroupResource& resource,
                               const store::ObjectPtr& object) {
  const store::Meta& meta = object->meta;
  std::vector<store::OwnerReference> owners = meta.owners;
  // An owner that it has just left may have waited for it.
  if (const GraphNode* before = graph_.Find(meta.uid); before != nullptr) {
    const std::vector<store::OwnerReference>& left = before->object->meta.owners;
    owners.insert(owners.end(), left.begin(), left.end());
  }
  graph_.Put(resource, object);
  if (!meta.owners.empty() || meta.terminating()) marked_.insert(meta.uid);
  // A foreground deletion may wait for this one, or it has just ceased to block it.
  for (const store::OwnerReference& owner : owners) {
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
  told_.erase(uid);
}

Status GarbageCollector::Collect(store::Revision seen) {
  Status result = OkStatus();
  const std::set<std::string> work = std::move(marked_);
  marked_.clear();
  for (const std::string& uid : work) {
    Status looked = Look(uid, seen);
    if (looked.ok()) continue;
    marked_.insert(uid);
    result = std::move(looked);
  }
  return result;
}

Status GarbageCollector::Look(const std::string& uid, store::Revision seen) {
  const GraphNode* node = graph_.Find(uid);
  if (node == nullptr) return OkStatus();
  if (!node->object->meta.terminating()) return LookAtDependent(*node);
  const bool orphans = node->HasFinalizer(kOrphan);
  if (!orphans && !node->HasFinalizer(kForeground)) return OkStatus();  // others' hold it
  if (node->object->meta.revision > seen) {
    marked_.insert(uid);
    return OkStatus();
  }
  return orphans ? FinishOrphan(*node) : FinishForeground(*node);
}

Status GarbageCollector::LookAtDependent(const GraphNode& node) {
  if (node.object->meta.owners.empty()) return OkStatus();
  for (int attempt = 0; attempt < kJudgementsMax; ++attempt) {
    ASSIGN_OR_RETURN(const store::ObjectPtr live, store_.Get(node.Key()));
    // Gone, another one, or being deleted by now: its own event says what is to do.
    if (live == nullptr || live->meta.uid != node.object->meta.uid || live->meta.terminating()) {
      return OkStatus();
    }
    ASSIGN_OR_RETURN(const bool settled, Judge(node, *live));
    if (settled) return OkStatus();
  }
  marked_.insert(node.object->meta.uid);
  return OkStatus();
}

// False: the object changed after it was judged.
Result<bool> GarbageCollector::Judge(const GraphNode& node, const store::Object& live) {
  ASSIGN_OR_RETURN(const OwnersSorted owners, SortOwners(live));
  if (owners.unclear) return true;
  if (!owners.solid.empty()) {
    std::vector<std::string> dead = owners.absent;
    dead.insert(dead.end(), owners.waiting.begin(), owners.waiting.end());
    if (!dead.empty()) RETURN_IF_ERROR(Release(node, dead));
    return true;
  }
  if (!owners.waiting.empty()) {
    // Its own dependents go before it, as its owner's do.
    const std::vector<std::string> below = graph_.Dependents(live.meta.uid);
    ASSIGN_OR_RETURN(const bool cycle, AnyTerminating(below));
    if (cycle) {
      // The change makes a revision that must be judged again before the deletion.
      RETURN_IF_ERROR(Unblock(node));
      ASSIGN_OR_RETURN(const store::ObjectPtr unblocked, store_.Get(node.Key()));
      if (unblocked == nullptr || unblocked->meta.uid != live.meta.uid) return true;
      if (unblocked->meta.revision != live.meta.revision) return false;
    }
    return Remove(
        node, live,
        below.empty() ? store::Propagation::kBackground : store::Propagation::kForeground);
  }
  if (owners.absent.empty()) return true;
  store::Propagation propagation = store::Propagation::kBackground;
  if (node.HasFinalizer(kOrphan)) propagation = store::Propagation::kOrphan;
  if (node.HasFinalizer(kForeground)) propagation = store::Propagation::kForeground;
  return Remove(node, live, propagation);
}

// In the store, as the owners are judged: a graph that has not heard of the deletion yet would
// leave two objects that wait for each other for ever.
Result<bool> GarbageCollector::AnyTerminating(const std::vector<std::string>& uids) {
  for (const std::string& uid : uids) {
    const GraphNode* node = graph_.Find(uid);
    if (node == nullptr) continue;
    ASSIGN_OR_RETURN(const store::ObjectPtr live, store_.Get(node->Key()));
    if (live != nullptr && live->meta.uid == uid && live->meta.terminating()) return true;
  }
  return false;
}

Result<GarbageCollector::OwnersSorted> GarbageCollector::SortOwners(const store::Object& live) {
  OwnersSorted sorted;
  for (const store::OwnerReference& owner : live.meta.owners) {
    const auto [group, version] = SplitApiVersion(owner.api_version);
    const crd::ResourceTypePtr type = registry_.FindKind(group, version, owner.kind);
    if (type == nullptr) {
      sorted.unclear = true;
      continue;
    }
    if (type->namespaced && live.meta.ns.empty()) {
      TellOfPlace(live, owner);
      sorted.unclear = true;
      continue;
    }
    const store::ObjectKey key{.resource = {type->group, type->plural},
                               .ns = type->namespaced ? live.meta.ns : std::string(),
                               .name = owner.name};
    ASSIGN_OR_RETURN(const store::ObjectPtr found, store_.Get(key));
    if (found == nullptr || found->meta.uid != owner.uid) {
      const GraphNode* elsewhere = graph_.Find(owner.uid);
      if (elsewhere != nullptr && !MayOwn(elsewhere->object->meta, live.meta)) {
        TellOfPlace(live, owner);
      }
      sorted.absent.push_back(owner.uid);
    } else if (found->meta.terminating() && HasFinalizer(found->meta, kForeground)) {
      sorted.waiting.push_back(owner.uid);
    } else {
      sorted.solid.push_back(owner.uid);
    }
  }
  return sorted;
}

// The words of Kubernetes, which people search for.
void GarbageCollector::TellOfPlace(const store::Object& live, const store::OwnerReference& owner) {
  if (!told_[live.meta.uid].insert(owner.uid).second) return;
  invalid_.Increment();
  const std::string message = fmt::format(
      "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace "
      "\"{}\"",
      owner.api_version, owner.kind, live.meta.ns, owner.name, owner.uid, live.meta.ns);
  log::Warn("an owner reference leads nowhere",
            {{"object", store::NamespacedName(live.meta.ns, live.meta.name)},
             {"kind", live.kind},
             {"why", message}});
  if (tell_) tell_(live, "OwnerRefInvalidNamespace", message);
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

// False: it is not what was judged any more.
Result<bool> GarbageCollector::Remove(const GraphNode& node, const store::Object& live,
                                      store::Propagation propagation) {
  const Result<store::DeleteResult> result =
      store_.Delete(node.Key(), store::DeleteOptions{.uid = live.meta.uid,
                                                     .revision = live.meta.revision,
                                                     .propagation = propagation});
  const std::string name = store::NamespacedName(live.meta.ns, live.meta.name);
  if (!result.ok()) {
    if (result.error().code == Code::kNotFound) return true;
    if (result.error().code == Code::kConflict) return false;
    if (store::StatusReason(result.error()) != "Forbidden") return result.error();
    log::Warn("an object whose owners are gone may not be deleted and stays",
              {{"resource", ToString(node.resource)}, {"object", name}, {"err", result.error()}});
    return true;
  }
  deleted_.Increment();
  log::Info("collected an object whose owners are gone",
            {{"resource", ToString(node.resource)}, {"object", name}});
  return true;
}

}  // namespace forkplane::apiserver
