#include "crd/type_registry.h"

#include <algorithm>

namespace forkplane::crd {
namespace {

// Every word a user may type for the resource in a URL or to kubectl.
std::vector<std::string> ResourceNames(const ResourceType& type) {
  std::vector<std::string> names = type.short_names;
  names.push_back(type.plural);
  names.push_back(type.singular);
  return names;
}

bool Shares(const std::vector<std::string>& a, const std::vector<std::string>& b,
            std::string& which) {
  for (const std::string& name : a) {
    if (std::find(b.begin(), b.end(), name) != b.end()) {
      which = name;
      return true;
    }
  }
  return false;
}

Status CheckVersions(const std::vector<ResourceType>& versions) {
  const auto is_storage = [](const ResourceType& type) { return type.storage; };
  if (std::count_if(versions.begin(), versions.end(), is_storage) != 1) {
    return Invalid("a resource needs exactly one storage version");
  }
  for (const ResourceType& type : versions) {
    if (type.group != versions[0].group || type.plural != versions[0].plural) {
      return Invalid("versions of one resource must share group and plural");
    }
    if (type.schema == nullptr) return Invalid(type.GroupResource() + " has no schema");
  }
  return OkStatus();
}

}  // namespace

Status TypeRegistry::CheckNames(const ResourceType& type) const {
  std::string which;
  for (const auto& [key, versions] : types_) {
    const ResourceType& other = *versions[0];
    if (key.first != type.group || key.second == type.plural) continue;
    if (Shares(ResourceNames(other), ResourceNames(type), which)) {
      return Exists(fmt::format("\"{}\" is already in use by {}", which, other.GroupResource()));
    }
    if (Shares({other.kind, other.list_kind}, {type.kind, type.list_kind}, which)) {
      return Exists(
          fmt::format("kind \"{}\" is already in use by {}", which, other.GroupResource()));
    }
  }
  return OkStatus();
}

Status TypeRegistry::Add(std::vector<ResourceType> versions) {
  RETURN_IF_ERROR(CheckVersions(versions));
  std::vector<ResourceTypePtr> shared;
  shared.reserve(versions.size());
  for (ResourceType& type : versions) {
    shared.push_back(std::make_shared<const ResourceType>(std::move(type)));
  }
  const ResourceType& first = *shared[0];
  {
    const MutexLock lock(mu_);
    RETURN_IF_ERROR(CheckNames(first));
    auto& slot = types_[{first.group, first.plural}];
    if (!slot.empty() && slot[0]->built_in && !first.built_in) {
      return Exists(fmt::format("{} is built in", first.GroupResource()));
    }
    slot = std::move(shared);
    ++version_;
  }
  Notify();
  return OkStatus();
}

Result<bool> TypeRegistry::Remove(std::string_view group, std::string_view plural) {
  {
    const MutexLock lock(mu_);
    const auto found = types_.find({std::string(group), std::string(plural)});
    if (found == types_.end()) return false;
    if (found->second[0]->built_in) {
      return Invalid(fmt::format("{} is built in", found->second[0]->GroupResource()));
    }
    types_.erase(found);
    ++version_;
  }
  Notify();
  return true;
}

ResourceTypePtr TypeRegistry::Find(std::string_view group, std::string_view version,
                                   std::string_view plural) const {
  const MutexLock lock(mu_);
  const auto found = types_.find({std::string(group), std::string(plural)});
  if (found == types_.end()) return nullptr;
  for (const ResourceTypePtr& type : found->second) {
    if (type->version == version && type->served) return type;
  }
  return nullptr;
}

ResourceTypePtr TypeRegistry::FindKind(std::string_view group, std::string_view version,
                                       std::string_view kind) const {
  const MutexLock lock(mu_);
  for (const auto& [key, versions] : types_) {
    if (key.first != group || versions[0]->kind != kind) continue;
    for (const ResourceTypePtr& type : versions) {
      if (type->version == version && type->served) return type;
    }
  }
  return nullptr;
}

ResourceTypePtr TypeRegistry::FindStorage(std::string_view group, std::string_view plural) const {
  const MutexLock lock(mu_);
  const auto found = types_.find({std::string(group), std::string(plural)});
  if (found == types_.end()) return nullptr;
  for (const ResourceTypePtr& type : found->second) {
    if (type->storage) return type;
  }
  return nullptr;
}

std::vector<ResourceTypePtr> TypeRegistry::List() const {
  const MutexLock lock(mu_);
  std::vector<ResourceTypePtr> all;
  // The core group's name is empty, so the map's order puts it first.
  for (const auto& [key, versions] : types_) {
    all.insert(all.end(), versions.begin(), versions.end());
  }
  return all;
}

std::uint64_t TypeRegistry::version() const {
  const MutexLock lock(mu_);
  return version_;
}

int TypeRegistry::Subscribe(std::function<void()> on_change) {
  const MutexLock lock(mu_);
  subscribers_[next_subscriber_] = std::move(on_change);
  return next_subscriber_++;
}

void TypeRegistry::Unsubscribe(int id) {
  const MutexLock lock(mu_);
  subscribers_.erase(id);
}

void TypeRegistry::Notify() {
  std::vector<std::function<void()>> callbacks;
  {
    const MutexLock lock(mu_);
    for (const auto& [id, callback] : subscribers_) callbacks.push_back(callback);
  }
  for (const auto& callback : callbacks) callback();
}

}  // namespace forkplane::crd
