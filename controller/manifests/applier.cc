#include "controller/manifests/applier.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "controller/manifests/three_way_merge.h"

namespace forkplane::manifests {
namespace {

using crd::Json;

// The document with our marks. The annotation holds the document without them.
Json WithMarks(const Manifest& manifest, const store::ObjectKey& key) {
  Json object = *manifest.object;
  Json& metadata = object["metadata"];
  if (key.ns.empty()) {
    metadata.erase("namespace");
  } else {
    metadata["namespace"] = key.ns;
  }
  metadata["labels"][kManagedByLabel] = kManagedByValue;
  metadata["annotations"][kSourceAnnotation] = manifest.path;
  metadata["annotations"][kLastAppliedAnnotation] = crd::DumpJson(*manifest.object);
  return object;
}

// What we applied last, or null. Text that someone damaged counts as nothing: then no field is
// removed.
Json LastApplied(const Json& current) {
  const Json* annotations = crd::FindPath(current, "metadata.annotations");
  if (annotations == nullptr || !annotations->is_object()) return nullptr;
  const auto it = annotations->find(kLastAppliedAnnotation);
  if (it == annotations->end() || !it->is_string()) return nullptr;
  Result<Json> last = crd::ParseJson(it->get_ref<const std::string&>());
  return last.ok() ? *std::move(last) : Json(nullptr);
}

}  // namespace

Result<store::ObjectKey> Applier::KeyOf(const Manifest& manifest) const {
  const crd::ResourceTypePtr type =
      types_.FindKind(manifest.group, manifest.version, manifest.kind);
  if (!type) {
    return Unavailable(fmt::format("kind {} of {}{}{} is not served", manifest.kind, manifest.group,
                                   manifest.group.empty() ? "" : "/", manifest.version));
  }
  std::string ns;
  if (type->namespaced) ns = manifest.ns.empty() ? "default" : manifest.ns;
  return store::ObjectKey{{type->group, type->plural}, ns, manifest.name};
}

Result<Applied> Applier::Apply(const store::ObjectKey& key, const Manifest& manifest) {
  const Json* labels = crd::FindPath(*manifest.object, "metadata.labels");
  const Json* annotations = crd::FindPath(*manifest.object, "metadata.annotations");
  for (const Json* map : {labels, annotations}) {
    if (map != nullptr && !map->is_object() && !map->is_null()) {
      return Invalid("metadata.labels and metadata.annotations must be maps");
    }
  }
  const Json desired = WithMarks(manifest, key);
  constexpr int kTriesMax = 3;  // a loop may write between our read and our write
  for (int i = 0; i < kTriesMax; ++i) {
    ASSIGN_OR_RETURN(const store::ObjectPtr current, objects_.Get(key));
    if (!current) {
      const auto created = objects_.Create(key.resource, key.ns, crd::DumpJson(desired));
      if (created.ok()) return Applied::kCreated;
      if (created.error().code != Code::kExists) return created.error();
      continue;
    }
    if (current->meta.terminating()) return Unavailable("it is being deleted; made anew when gone");
    ASSIGN_OR_RETURN(const Json now, crd::ParseJson(current->text));
    const Json merged = MergeThreeWays(now, LastApplied(now), desired);
    if (merged == now) return Applied::kUnchanged;
    const auto updated = objects_.Update(key, crd::DumpJson(merged));
    if (updated.ok()) return updated->changed ? Applied::kUpdated : Applied::kUnchanged;
    const Code code = updated.error().code;
    if (code != Code::kConflict && code != Code::kNotFound) return updated.error();
  }
  return Unavailable("it keeps changing; tried again later");
}

Result<std::vector<Applier::Owned>> Applier::ListOwned() {
  std::vector<Owned> owned;
  std::set<store::GroupResource> seen;  // a resource has one entry for each version
  const store::ListOptions options{.labels =
                                       store::MatchLabels({{kManagedByLabel, kManagedByValue}})};
  for (const crd::ResourceTypePtr& type : types_.List()) {
    const store::GroupResource resource{type->group, type->plural};
    if (!seen.insert(resource).second) continue;
    ASSIGN_OR_RETURN(const store::ListResult list, objects_.List(resource, options));
    for (const store::ObjectPtr& object : list.items) {
      // The label alone may be a copy (a child that inherits labels); the annotation is ours.
      if (object->text.find(kLastAppliedAnnotation) == std::string::npos) continue;
      owned.push_back({{resource, object->meta.ns, object->meta.name},
                       object->meta.uid,
                       type->kind,
                       object->meta.terminating()});
    }
  }
  return owned;
}

Status Applier::Prune(const Owned& owned) {
  const auto deleted = objects_.Delete(owned.key, store::DeleteOptions{.uid = owned.uid});
  if (deleted.ok() || deleted.error().code == Code::kNotFound) return OkStatus();
  return deleted.error();
}

}  // namespace forkplane::manifests
