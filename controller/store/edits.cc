#include "controller/store/edits.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace forkplane::store {

using crd::Json;

Status EditObject(ObjectStore& store, const ObjectKey& key, const std::string& uid, Part part,
                  const std::function<bool(Json& object)>& change) {
  const Result<WriteResult> written = store.Modify(
      key,
      [&](Json& object) -> Result<bool> {
        return (uid.empty() || HasUid(object, uid)) && change(object);
      },
      UpdateOptions{.part = part});
  if (written.ok() || written.error().code == Code::kNotFound) return OkStatus();
  return written.error();
}

bool HasUid(const Json& object, std::string_view uid) {
  const Json* found = crd::FindPath(object, "metadata.uid");
  return found != nullptr && *found == uid;
}

bool HasFinalizer(const Json& object, std::string_view finalizer) {
  const Json* finalizers = crd::FindPath(object, "metadata.finalizers");
  return finalizers != nullptr && finalizers->is_array() &&
         std::find(finalizers->begin(), finalizers->end(), finalizer) != finalizers->end();
}

bool DropFinalizer(Json& object, std::string_view finalizer) {
  if (!HasFinalizer(object, finalizer)) return false;
  Json& finalizers = object["metadata"]["finalizers"];
  finalizers.erase(std::remove(finalizers.begin(), finalizers.end(), finalizer), finalizers.end());
  return true;
}

}  // namespace forkplane::store
