#include "controller/apiserver/patch/patch.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace forkplane::apiserver {

using crd::Json;

std::string_view MediaTypeOf(PatchType type) {
  switch (type) {
    case PatchType::kJson:
      return "application/json-patch+json";
    case PatchType::kMerge:
      return "application/merge-patch+json";
    case PatchType::kStrategic:
      return "application/strategic-merge-patch+json";
  }
  return {};
}

Result<Patch> Patch::Parse(PatchType type, std::string_view text,
                           std::vector<std::string>& duplicates) {
  ASSIGN_OR_RETURN(Json document, crd::ParseJson(text, {}, &duplicates));
  Patch patch(type);
  if (type == PatchType::kJson) {
    ASSIGN_OR_RETURN(patch.operations_, JsonPatch::Parse(document));
    return patch;
  }
  if (!document.is_object()) return Invalid("a merge patch is a JSON object");
  if (type == PatchType::kStrategic) RETURN_IF_ERROR(CheckDirectives(document));
  patch.document_ = std::make_shared<const Json>(std::move(document));
  return patch;
}

Status Patch::Apply(const MergeKeys& keys, Json& object) const {
  switch (type_) {
    case PatchType::kJson:
      return operations_.Apply(object);
    case PatchType::kMerge:
      crd::MergePatch(object, *document_);
      return OkStatus();
    case PatchType::kStrategic:
      return StrategicMerge(keys, *document_, object);
  }
  return OkStatus();
}

}  // namespace forkplane::apiserver
