#include "controller/runtime/finalizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "crd/json.h"

namespace forkplane::runtime {
namespace {

using crd::Json;

constexpr int kConflictsMax = 3;

bool Has(const store::Meta& meta, std::string_view finalizer) {
  return std::find(meta.finalizers.begin(), meta.finalizers.end(), finalizer) !=
         meta.finalizers.end();
}

// The object's text with exactly `finalizers`; resourceVersion stays, so the write is conditional.
Result<std::string> WithFinalizers(const store::Object& object,
                                   const std::vector<std::string>& finalizers) {
  ASSIGN_OR_RETURN(Json json, crd::ParseJson(object.text));
  json["metadata"]["finalizers"] = finalizers;
  return crd::DumpJson(json);
}

Status Write(store::ObjectStore& store, const store::ObjectKey& key, const store::Object& object,
             const std::vector<std::string>& finalizers) {
  ASSIGN_OR_RETURN(const std::string text, WithFinalizers(object, finalizers));
  RETURN_IF_ERROR(store.Update(key, text));
  return OkStatus();
}

}  // namespace

Status AddFinalizer(store::ObjectStore& store, const store::ObjectKey& key, const std::string& uid,
                    std::string_view finalizer) {
  Status status = OkStatus();
  for (int attempt = 0; attempt < kConflictsMax; ++attempt) {
    ASSIGN_OR_RETURN(const store::ObjectPtr object, store.Get(key));
    if (!object || object->meta.uid != uid) return NotFound("add finalizer: the object is gone");
    if (Has(object->meta, finalizer)) return OkStatus();
    if (object->meta.terminating()) return Invalid("add finalizer: the object is being deleted");
    std::vector<std::string> finalizers = object->meta.finalizers;
    finalizers.emplace_back(finalizer);
    status = Write(store, key, *object, finalizers);
    if (status.ok() || status.error().code != Code::kConflict) return status;
  }
  return status;
}

Status RemoveFinalizer(store::ObjectStore& store, const store::ObjectKey& key,
                       const std::string& uid, std::string_view finalizer) {
  Status status = OkStatus();
  for (int attempt = 0; attempt < kConflictsMax; ++attempt) {
    ASSIGN_OR_RETURN(const store::ObjectPtr object, store.Get(key));
    if (!object || object->meta.uid != uid || !Has(object->meta, finalizer)) return OkStatus();
    std::vector<std::string> finalizers = object->meta.finalizers;
    std::erase(finalizers, finalizer);
    status = Write(store, key, *object, finalizers);
    if (status.ok() || status.error().code == Code::kNotFound) return OkStatus();
    if (status.error().code != Code::kConflict) return status;
  }
  return status;
}

}  // namespace forkplane::runtime
