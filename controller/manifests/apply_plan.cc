#include "controller/manifests/apply_plan.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "controller/manifests/three_way_merge.h"

namespace forkplane::manifests {
namespace {

using crd::Json;

Json WithMarks(const Wanted& wanted) {
  Json object = *wanted.manifest.object;
  Json& metadata = object["metadata"];
  if (wanted.key.ns.empty()) {
    metadata.erase("namespace");
  } else {
    metadata["namespace"] = wanted.key.ns;
  }
  // Kubernetes reads a null map as an empty one.
  for (const char* map : {"labels", "annotations"}) {
    const auto found = metadata.find(map);
    if (found != metadata.end() && found->is_null()) metadata.erase(found);
  }
  metadata["labels"][kManagedByLabel] = kManagedByValue;
  metadata["annotations"][kSourceAnnotation] = wanted.manifest.path;
  return object;
}

// Takes the value at ".spec.replicas" out of `last` when the document does not name it.
void LeaveReplicas(const std::string& path, const Json& document, Json& last) {
  if (path.empty() || crd::FindPath(document, path) != nullptr) return;
  Json* at = &last;
  std::size_t begin = path.starts_with('.') ? 1 : 0;
  for (;;) {
    if (!at->is_object()) return;
    const std::size_t dot = path.find('.', begin);
    const std::string member = path.substr(begin, dot - begin);
    if (dot == std::string::npos) {
      at->erase(member);
      return;
    }
    const auto below = at->find(member);
    if (below == at->end()) return;
    at = &*below;
    begin = dot + 1;
  }
}

bool IsOf(const Record* record, const Json& object) {
  const Json* uid = crd::FindPath(object, "metadata.uid");
  return record != nullptr && uid != nullptr && *uid == record->uid;
}

// What we applied last to this very object, or null: then no field is removed.
Json LastApplied(const Wanted& wanted, const Json& now, const Record* record) {
  if (!IsOf(record, now)) return nullptr;
  Result<Json> last = crd::ParseJson(record->last_applied);
  if (!last.ok()) return nullptr;
  LeaveReplicas(wanted.replicas_path, *wanted.manifest.object, *last);
  return *std::move(last);
}

void RemoveFormerMark(Json& object) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end()) return;
  const auto annotations = metadata->find("annotations");
  if (annotations != metadata->end() && annotations->is_object()) {
    annotations->erase(kLastAppliedAnnotation);
  }
}

}  // namespace

std::string DocumentText(const Wanted& wanted) { return crd::DumpJson(*wanted.manifest.object); }

ApplyAction PlanApply(const Wanted& wanted, const Json* now, const Record* record) {
  if (now == nullptr) return CreateObject{crd::DumpJson(WithMarks(wanted))};
  if (crd::FindPath(*now, "metadata.deletionTimestamp") != nullptr) return AwaitDeletion{};
  Json merged = MergeThreeWays(*now, LastApplied(wanted, *now, record), WithMarks(wanted));
  RemoveFormerMark(merged);
  if (merged == *now) return LeaveObject{};
  const bool applied_before = IsOf(record, *now) && record->path == wanted.manifest.path &&
                              record->last_applied == DocumentText(wanted);
  return UpdateObject{std::make_shared<const Json>(std::move(merged)), applied_before};
}

}  // namespace forkplane::manifests
