#include "controller/apiserver/discovery/openapi_schemas.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

constexpr std::string_view kListMetaSchema = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
constexpr std::string_view kOwnerReferenceSchema =
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference";

Json Text(std::string_view description) {
  return {{"type", "string"}, {"description", description}};
}
Json Integer(std::string_view description) {
  return {{"type", "integer"}, {"format", "int64"}, {"description", description}};
}
Json Time(std::string_view description) {
  return {{"type", "string"}, {"format", "date-time"}, {"description", description}};
}
Json Boolean(std::string_view description) {
  return {{"type", "boolean"}, {"description", description}};
}
Json TextMap(std::string_view description) {
  return {{"type", "object"},
          {"description", description},
          {"additionalProperties", {{"type", "string"}}}};
}

Json GroupVersionKind(const crd::ResourceType& type, const std::string& kind) {
  return Json::array({{{"group", type.group}, {"version", type.version}, {"kind", kind}}});
}

// OpenAPI 3 allows no siblings of $ref, so a described reference is wrapped, as upstream does.
Json DescribedRef(std::string_view name, OpenApiVersion version, std::string_view description) {
  if (version == OpenApiVersion::kV3) {
    return {{"description", description}, {"allOf", Json::array({RefTo(name, version)})}};
  }
  Json ref = RefTo(name, version);
  ref["description"] = description;
  return ref;
}

Json ApiVersionProperty() {
  return Text("Versioned schema of this representation of an object: GROUP/VERSION.");
}
Json KindProperty() { return Text("REST resource this object represents, in CamelCase."); }

void ToV2(Json& schema);

void EachToV2(Json& schema, const char* member) {
  const auto it = schema.find(member);
  if (it == schema.end() || !it->is_object()) return;
  for (auto& [name, value] : it->items()) ToV2(value);
}

// Swagger 2.0 knows neither nullable nor anyOf; what they would allow must not be refused by a
// client that validates, so such a field gets no type (upstream's ToStructuralOpenAPIV2).
void ToV2(Json& schema) {
  if (!schema.is_object()) return;
  const auto flag = [&schema](const char* name) {
    const auto it = schema.find(name);
    return it != schema.end() && it->is_boolean() && it->get<bool>();
  };
  if (flag("nullable") || flag("x-kubernetes-int-or-string")) {
    for (const char* name : {"type", "items", "properties", "additionalProperties"}) {
      schema.erase(name);
    }
  }
  if (flag("x-kubernetes-preserve-unknown-fields")) {
    for (const char* name : {"items", "properties", "additionalProperties"}) schema.erase(name);
  }
  for (const char* name : {"nullable", "anyOf", "oneOf", "allOf", "not", "default", "example"}) {
    schema.erase(name);
  }
  EachToV2(schema, "properties");
  for (const char* name : {"items", "additionalProperties"}) {
    const auto it = schema.find(name);
    if (it != schema.end()) ToV2(*it);
  }
}

}  // namespace

std::string SchemaName(const crd::ResourceType& type, std::string_view kind) {
  std::string name;
  const std::string_view group = type.group.empty() ? std::string_view("core") : type.group;
  for (const std::string_view part : Split(group, '.')) {
    name = name.empty() ? std::string(part) : std::string(part) + "." + name;
  }
  return fmt::format("{}.{}.{}", name, type.version, kind);
}

Json RefTo(std::string_view name, OpenApiVersion version) {
  const bool v2 = version == OpenApiVersion::kV2;
  return {{"$ref", (v2 ? "#/definitions/" : "#/components/schemas/") + std::string(name)}};
}

void AddTypeSchemas(const crd::ResourceType& type, OpenApiVersion version, Json& schemas) {
  Json schema = type.openapi != nullptr ? *type.openapi : Json::object();
  if (version == OpenApiVersion::kV2) ToV2(schema);
  schema["type"] = "object";
  Json& properties = schema["properties"];
  if (!properties.is_object()) properties = Json::object();
  properties["apiVersion"] = ApiVersionProperty();
  properties["kind"] = KindProperty();
  properties["metadata"] =
      DescribedRef(kObjectMetaSchema, version, "Standard metadata of every object.");
  schema["x-kubernetes-group-version-kind"] = GroupVersionKind(type, type.kind);
  schemas[SchemaName(type, type.kind)] = std::move(schema);

  schemas[SchemaName(type, type.list_kind)] = {
      {"description", fmt::format("{} is a list of {}.", type.list_kind, type.kind)},
      {"type", "object"},
      {"required", {"items"}},
      {"properties",
       {{"apiVersion", ApiVersionProperty()},
        {"kind", KindProperty()},
        {"metadata", DescribedRef(kListMetaSchema, version, "Standard metadata of a list.")},
        {"items", {{"type", "array"}, {"items", RefTo(SchemaName(type, type.kind), version)}}}}},
      {"x-kubernetes-group-version-kind", GroupVersionKind(type, type.list_kind)}};
}

namespace {

Json ObjectMetaSchema(OpenApiVersion version) {
  Json properties = {
      {"name", Text("Name, unique within a namespace. Cannot be changed.")},
      {"generateName", Text("Prefix from which the server makes a unique name if there is none.")},
      {"namespace", Text("Space within which the name is unique. Empty for cluster-wide objects.")},
      {"uid", Text("Unique in time and space. Set by the server.")},
      {"resourceVersion", Text("Opaque version for optimistic concurrency and watches.")},
      {"generation", Integer("Counts changes of the desired state. Set by the server.")},
      {"creationTimestamp", Time("When the object was created. Set by the server.")},
      {"deletionTimestamp", Time("When deletion was asked for. Set by the server.")},
      {"deletionGracePeriodSeconds", Integer("Seconds before the object may be removed.")},
      {"selfLink", Text("Not used any more.")},
      {"labels", TextMap("Keys and values to select objects by.")},
      {"annotations", TextMap("Unstructured keys and values that tools store with the object.")},
      {"finalizers",
       {{"type", "array"},
        {"description", "Must be empty before a deleted object is removed."},
        {"items", {{"type", "string"}}},
        {"x-kubernetes-list-type", "set"},
        {"x-kubernetes-patch-strategy", "merge"}}},
      {"ownerReferences",
       {{"type", "array"},
        {"description", "Objects this one depends on; it is collected when all are gone."},
        {"items", RefTo(kOwnerReferenceSchema, version)},
        {"x-kubernetes-list-type", "map"},
        {"x-kubernetes-list-map-keys", {"uid"}},
        {"x-kubernetes-patch-merge-key", "uid"},
        {"x-kubernetes-patch-strategy", "merge"}}},
      {"managedFields",
       {{"type", "array"},
        {"description", "Who last set which field."},
        {"items", {{"type", "object"}}}}}};
  return {{"description", "ObjectMeta is metadata that all persisted resources have."},
          {"type", "object"},
          {"properties", std::move(properties)}};
}

Json OwnerReferenceSchema() {
  return {{"description", "OwnerReference identifies an owning object in the same namespace."},
          {"type", "object"},
          {"required", {"apiVersion", "kind", "name", "uid"}},
          {"properties",
           {{"apiVersion", Text("API version of the owner.")},
            {"kind", Text("Kind of the owner.")},
            {"name", Text("Name of the owner.")},
            {"uid", Text("UID of the owner.")},
            {"controller", Boolean("True if this owner manages the object.")},
            {"blockOwnerDeletion",
             Boolean("True if a foreground deletion of the owner waits for this object.")}}}};
}

Json ScaleSchema(OpenApiVersion version) {
  const Json replicas = {{"type", "integer"}, {"format", "int32"}};
  Json spec_replicas = replicas;
  spec_replicas["description"] = "Desired number of instances.";
  Json status_replicas = replicas;
  status_replicas["description"] = "Actual number of instances.";
  return {{"description", "Scale is a scaling request for a resource."},
          {"type", "object"},
          {"properties",
           {{"apiVersion", ApiVersionProperty()},
            {"kind", KindProperty()},
            {"metadata",
             DescribedRef(kObjectMetaSchema, version, "Standard metadata of every object.")},
            {"spec", {{"type", "object"}, {"properties", {{"replicas", spec_replicas}}}}},
            {"status",
             {{"type", "object"},
              {"properties",
               {{"replicas", status_replicas},
                {"selector", Text("Label selector of the instances.")}}}}}}},
          {"x-kubernetes-group-version-kind",
           Json::array({{{"group", "autoscaling"}, {"version", "v1"}, {"kind", "Scale"}}})}};
}

}  // namespace

void AddMetaSchemas(OpenApiVersion version, Json& schemas) {
  schemas[std::string(kObjectMetaSchema)] = ObjectMetaSchema(version);
  schemas[std::string(kOwnerReferenceSchema)] = OwnerReferenceSchema();
  schemas[std::string(kScaleSchema)] = ScaleSchema(version);
  schemas[std::string(kListMetaSchema)] = {
      {"description", "ListMeta is metadata that lists have."},
      {"type", "object"},
      {"properties",
       {{"resourceVersion", Text("Version of the store at which the list was read.")},
        {"continue", Text("Token with which the rest of the list can be read.")},
        {"remainingItemCount", Integer("Number of items that follow, when it is known.")}}}};
}

}  // namespace forkplane::apiserver
