// The resources this process serves. Starts with the built-ins and our six kinds; the API server
// adds and removes a user's CustomResourceDefinitions at run time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/mutex.h"
#include "controller/base/result.h"
#include "crd/embedded.h"
#include "crd/resource_type.h"

namespace forkplane::crd {

// NOTE Threading: all methods from any thread. Types are immutable; a holder of a ResourceTypePtr
//   keeps it valid after a removal.
// NOTE Callbacks run without the lock, on the thread that made the change, after the change is
//   visible; they must not block. After Unsubscribe a callback that already began may still run.
class TypeRegistry {
 public:
  // Adds or replaces all versions of one resource, which must share group and plural and have
  // exactly one storage version. Exists: kind, list kind, plural, singular or short name is taken
  // by another resource of the group, or the resource is a built-in.
  Status Add(std::vector<ResourceType> versions);
  // True if it was there. Built-ins stay: Invalid.
  Result<bool> Remove(std::string_view group, std::string_view plural);

  // By the parts of a URL. nullptr: not served.
  ResourceTypePtr Find(std::string_view group, std::string_view version,
                       std::string_view plural) const;
  // By the parts of an object.
  ResourceTypePtr FindKind(std::string_view group, std::string_view version,
                           std::string_view kind) const;
  // The storage version.
  ResourceTypePtr FindStorage(std::string_view group, std::string_view plural) const;
  // Every version of every resource: core group first, then by group, plural, version.
  std::vector<ResourceTypePtr> List() const;

  // Grows with every change; an ETag for discovery and OpenAPI documents.
  std::uint64_t version() const;

  int Subscribe(std::function<void()> on_change);
  void Unsubscribe(int id);

 private:
  using Key = std::pair<std::string, std::string>;  // group, plural

  Status CheckNames(const ResourceType& type) const REQUIRES(mu_);
  void Notify();

  mutable Mutex mu_;
  std::map<Key, std::vector<ResourceTypePtr>> types_ GUARDED_BY(mu_);
  std::uint64_t version_ GUARDED_BY(mu_) = 1;
  std::map<int, std::function<void()>> subscribers_ GUARDED_BY(mu_);
  int next_subscriber_ GUARDED_BY(mu_) = 1;
};

// Namespace, Event, ConfigMap, Secret, Lease, CustomResourceDefinition.
Status RegisterBuiltIns(TypeRegistry& registry);
// VirtualMachine, Snapshot, Fork, ForkSet, Network, Host, from the YAML embedded in the binary.
Status RegisterForkplaneKinds(TypeRegistry& registry);
// Both: what the embedded server starts with.
Result<std::unique_ptr<TypeRegistry>> NewTypeRegistry();

}  // namespace forkplane::crd
