#include "controller/runtime/finalizer.h"

#include <nlohmann/json.hpp>

#include "controller/store/edits.h"

namespace forkplane::runtime {

using crd::Json;

Status AddFinalizer(store::ObjectStore& store, const store::ObjectKey& key, const std::string& uid,
                    std::string_view finalizer) {
  RETURN_IF_ERROR(store.Modify(key, [&](Json& object) -> Result<bool> {
    if (!store::HasUid(object, uid)) return NotFound("add finalizer: the object is gone");
    if (store::HasFinalizer(object, finalizer)) return false;
    Json& metadata = object["metadata"];
    if (metadata.contains("deletionTimestamp")) {
      return Invalid("add finalizer: the object is being deleted");
    }
    if (!metadata["finalizers"].is_array()) metadata["finalizers"] = Json::array();
    metadata["finalizers"].push_back(finalizer);
    return true;
  }));
  return OkStatus();
}

Status RemoveFinalizer(store::ObjectStore& store, const store::ObjectKey& key,
                       const std::string& uid, std::string_view finalizer) {
  return store::EditObject(store, key, uid, store::Part::kMain,
                           [&](Json& object) { return store::DropFinalizer(object, finalizer); });
}

}  // namespace forkplane::runtime
