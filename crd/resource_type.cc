#include "crd/resource_type.h"

#include <nlohmann/json.hpp>

namespace forkplane::crd {
namespace {

// metav1.ObjectMeta, for pruning and types; its rules are in metadata_validation.cc.
constexpr std::string_view kObjectMetaSchema = R"({
  "type": "object",
  "properties": {
    "name": {"type": "string"}, "generateName": {"type": "string"},
    "namespace": {"type": "string"}, "selfLink": {"type": "string"},
    "uid": {"type": "string"}, "resourceVersion": {"type": "string"},
    "generation": {"type": "integer"},
    "creationTimestamp": {"type": "string", "format": "date-time"},
    "deletionTimestamp": {"type": "string", "format": "date-time"},
    "deletionGracePeriodSeconds": {"type": "integer"},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    "finalizers": {"type": "array", "items": {"type": "string"}},
    "ownerReferences": {"type": "array", "items": {"type": "object", "properties": {
      "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "name": {"type": "string"},
      "uid": {"type": "string"}, "controller": {"type": "boolean"},
      "blockOwnerDeletion": {"type": "boolean"}}}},
    "managedFields": {"type": "array", "items": {
      "type": "object", "x-kubernetes-preserve-unknown-fields": true}}
  }})";

const Schema& ObjectMetaSchema() {
  static const SchemaPtr schema =
      ParseSchema(ParseJson(kObjectMetaSchema).value(), "metadata").value().schema;
  return *schema;
}

std::string WithGroup(std::string_view name, std::string_view group) {
  return group.empty() ? std::string(name) : fmt::format("{}.{}", name, group);
}

const Json& MetadataOf(const Json& object) {
  static const Json kEmpty = Json::object();
  const auto found = object.find("metadata");
  return found == object.end() || found->is_null() ? kEmpty : *found;
}

// kind and metadata; false: no sense in looking further.
bool CheckHead(const ResourceType& type, const Json& object, const Json* old,
               std::vector<Cause>& causes) {
  const auto kind = object.find("kind");
  if (kind != object.end() && *kind != Json(type.kind)) {
    causes.push_back(InvalidCause("kind", GoText(*kind), "must be " + type.kind));
  }
  const Json& metadata = MetadataOf(object);
  std::vector<Cause> wrong = Validate(ObjectMetaSchema(), metadata, nullptr, "metadata");
  if (!wrong.empty()) {
    causes.insert(causes.end(), wrong.begin(), wrong.end());
    return false;
  }
  wrong = ValidateMetadata(metadata, type.namespaced, type.name_rule);
  causes.insert(causes.end(), wrong.begin(), wrong.end());
  if (old != nullptr) {
    wrong = ValidateMetadataUpdate(metadata, MetadataOf(*old));
    causes.insert(causes.end(), wrong.begin(), wrong.end());
  }
  return true;
}

}  // namespace

std::string ResourceType::ApiVersion() const {
  return group.empty() ? version : group + "/" + version;
}
std::string ResourceType::GroupResource() const { return WithGroup(plural, group); }
std::string ResourceType::GroupKind() const { return WithGroup(kind, group); }

std::vector<std::string> PruneObject(const ResourceType& type, Json& object) {
  std::vector<std::string> unknown;
  if (!object.is_object()) return unknown;
  if (const auto metadata = object.find("metadata"); metadata != object.end()) {
    for (const std::string& field : Prune(ObjectMetaSchema(), *metadata)) {
      unknown.push_back("metadata." + field);
    }
  }
  for (std::string& field : Prune(*type.schema, object)) unknown.push_back(std::move(field));
  return unknown;
}

void DefaultObject(const ResourceType& type, Json& object) {
  if (!object.is_object()) return;
  // Clients send creationTimestamp: null; so does every Go struct that was never stored.
  if (const auto metadata = object.find("metadata"); metadata != object.end()) {
    ApplyDefaults(ObjectMetaSchema(), *metadata);
  }
  ApplyDefaults(*type.schema, object);
  if (type.native_defaulter) type.native_defaulter(object);
}

std::vector<Cause> ValidateObject(const ResourceType& type, const Json& object, const Json* old) {
  std::vector<Cause> causes;
  if (!object.is_object()) {
    causes.push_back(InvalidCause("", GoText(object), "must be an object"));
    return causes;
  }
  if (!CheckHead(type, object, old, causes)) return causes;
  std::vector<Cause> wrong = Validate(*type.schema, object, old);
  const bool schema_holds = wrong.empty();
  causes.insert(causes.end(), wrong.begin(), wrong.end());
  if (schema_holds && type.native_validator) type.native_validator(object, old, causes);
  return causes;
}

Error InvalidObject(std::string_view group_kind, std::string_view name, std::vector<Cause> causes) {
  if (causes.size() > kCausesMax) causes.resize(kCausesMax);
  std::string text;
  for (const Cause& cause : causes) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", cause.field, cause.message);
  }
  if (causes.size() != 1) text = "[" + text + "]";
  std::string message = fmt::format("{} {} is invalid: {}", group_kind, Quoted(name), text);
  return Invalid(std::move(message), std::move(causes));
}

Error InvalidObject(const ResourceType& type, std::string_view name, std::vector<Cause> causes) {
  return InvalidObject(type.GroupKind(), name, std::move(causes));
}

}  // namespace forkplane::crd
