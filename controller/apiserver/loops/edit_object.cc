#include "controller/apiserver/loops/edit_object.h"

#include <nlohmann/json.hpp>

namespace forkplane::apiserver {
namespace {

constexpr int kEditTriesMax = 10;

}  // namespace

Status EditObject(store::ObjectStore& store, const store::ObjectKey& key, const std::string& uid,
                  store::Part part, const Edit& edit) {
  for (int attempt = 1;; ++attempt) {
    ASSIGN_OR_RETURN(const store::ObjectPtr object, store.Get(key));
    if (object == nullptr || (!uid.empty() && object->meta.uid != uid)) return OkStatus();
    ASSIGN_OR_RETURN(crd::Json json, crd::ParseJson(object->text));
    if (!edit(json)) return OkStatus();
    Result<store::WriteResult> written =
        store.Update(key, crd::DumpJson(json), store::UpdateOptions{.part = part});
    if (written.ok() || written.error().code == Code::kNotFound) return OkStatus();
    if (written.error().code != Code::kConflict || attempt == kEditTriesMax) {
      return std::move(written).error();
    }
  }
}

bool DropFinalizer(crd::Json& object, std::string_view finalizer) {
  crd::Json& finalizers = object["metadata"]["finalizers"];
  if (!finalizers.is_array()) return false;
  const auto end = std::remove(finalizers.begin(), finalizers.end(), finalizer);
  if (end == finalizers.end()) return false;
  finalizers.erase(end, finalizers.end());
  return true;
}

}  // namespace forkplane::apiserver
