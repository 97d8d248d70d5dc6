// One served resource: all that the store and the API server know about a kind. Our six kinds, the
// built-ins and a user's CustomResourceDefinitions are the same to them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/object_meta.h"
#include "crd/schema.h"

namespace forkplane::crd {

struct PrinterColumn {
  // How a cell is made from the value at json_path. kPath is what CRDs have; the others serve the
  // columns that upstream computes in Go for built-ins.
  enum class Render : std::uint8_t {
    kPath,
    kCount,      // number of entries of the map at json_path (ConfigMap's Data)
    kAge,        // of the time at json_path, "a|b|c": the first that is present (Event's Last Seen)
    kTimes,      // the number there, found likewise; 1 when there is none (Event's Count)
    kObjectRef,  // "kind/name" in lower case of the reference at json_path (Event's Object)
    kSource,     // "component, host" of the source at json_path (Event's Source)
    kTrimmed,    // text without blanks around it (Event's Message)
  };
  std::string name;
  std::string type;         // string, integer, number, boolean, date
  std::string format = {};  // "" or an OpenAPI format
  std::string description = {};
  std::string json_path;  // ".status.phase"; may hold [?(@.type=="Ready")]
  int priority = 0;       // over 0: only in -o wide
  Render render = Render::kPath;
};

struct ScaleSubresource {
  std::string spec_replicas_path;    // ".spec.replicas"
  std::string status_replicas_path;  // ".status.replicas"
  std::string label_selector_path;   // ".status.selector" or ""
};

// Rules between fields that a schema cannot say. `old` is null at creation. Appends causes; never
// called on an object its schema refused.
using NativeValidator =
    std::function<void(const Json& object, const Json* old, std::vector<Cause>& causes)>;

// Defaults between fields that a schema cannot say (Secret's stringData, a CRD's listKind).
using NativeDefaulter = std::function<void(Json& object)>;

// Immutable once registered; shared as std::shared_ptr<const ResourceType>.
struct ResourceType {
  std::string group;  // "" for the core group
  std::string version;
  std::string kind;
  std::string list_kind;
  std::string plural;
  std::string singular;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  bool namespaced = true;
  bool served = true;
  bool storage = true;    // objects are stored in this version (exactly one per resource)
  bool built_in = false;  // not made from a user's CustomResourceDefinition; cannot be removed
  // Built-ins with simple semantics take a PUT without resourceVersion; custom resources do not.
  bool unconditional_update = false;
  // generation counts changes outside metadata and status; ConfigMap, Secret and Event have none.
  bool has_generation = true;
  bool status_subresource = false;
  NameRule name_rule = NameRule::kSubdomain;
  // Strategic merge patch, which only built-ins take: lists whose elements are merged, by path
  // ("status.conditions"), with the member that tells their elements apart ("type").
  std::map<std::string, std::string, std::less<>> merge_keys;
  std::optional<ScaleSubresource> scale;
  // Without Name, which comes first unless a built-in has one of this name elsewhere.
  std::vector<PrinterColumn> columns;
  std::vector<std::string>
      selectable_fields;              // "status.phase"; metadata.name/.namespace are implied
  std::vector<std::string> warnings;  // parts of the CRD this server does not enforce
  std::string crd_name;               // "virtualmachines.forkplane.dev"; "" for built-ins
  std::string deprecation_warning;    // sent as Warning header when not empty
  // The uid of the CustomResourceDefinition object that is served by this type; instances are
  // created only while that object is there and not being deleted. "": asks for none.
  std::string definition_uid;

  bool delete_collection = true;  // whether DELETE of the whole collection is a verb of it
  // Objects that nobody may delete, by name, and the words of the refusal ("this namespace may not
  // be deleted"). With protected_ownership they also take no finalizers and no owners: both exist
  // only to say what happens when an object is deleted.
  std::set<std::string, std::less<>> protected_names;
  std::string protected_why;
  bool protected_ownership = false;

  SchemaPtr schema;                     // of the whole object
  std::shared_ptr<const Json> openapi;  // openAPIV3Schema as given: for OpenAPI documents
  NativeDefaulter native_defaulter;     // may be empty; runs after the schema's defaults
  NativeValidator native_validator;     // may be empty

  // Whether a CustomResourceDefinition describes it, one of ours or a user's: clients send such
  // objects as JSON or YAML and name their kind, and there is no strategic merge of them.
  bool IsCustom() const { return !crd_name.empty(); }
  // "forkplane.dev/v1alpha1", or "v1" for the core group.
  std::string ApiVersion() const;
  // "virtualmachines.forkplane.dev", or "configmaps": the name in error texts.
  std::string GroupResource() const;
  // "VirtualMachine.forkplane.dev", or "ConfigMap": the name in texts about invalid objects.
  std::string GroupKind() const;
};

using ResourceTypePtr = std::shared_ptr<const ResourceType>;

// The whole-object passes, in the order of kubernetes-api.md 2.5. apiVersion, kind and metadata are
// known fields of every object; metadata is pruned to metav1.ObjectMeta.
std::vector<std::string> PruneObject(const ResourceType& type, Json& object);
void DefaultObject(const ResourceType& type, Json& object);
// kind, metadata (with `old`: what may not change), schema, transition rules, then, when all that
// holds, the native validator. Empty: valid.
std::vector<Cause> ValidateObject(const ResourceType& type, const Json& object, const Json* old);

// Code::kInvalid with Kubernetes' text: `VirtualMachine.forkplane.dev "b" is invalid: [f1: ..., f2:
// ...]`, without brackets for a single cause.
Error InvalidObject(const ResourceType& type, std::string_view name, std::vector<Cause> causes);
Error InvalidObject(std::string_view group_kind, std::string_view name, std::vector<Cause> causes);

// A CustomResourceDefinition (apiextensions.k8s.io/v1) to the types it serves, one per version.
// Invalid (via InvalidObject) names every offending field: name not plural.group, no or two storage
// versions, no schema, a schema that is not structural, bad paths of columns or scale, names that
// are not DNS labels, conversion webhooks (not supported here).
Result<std::vector<ResourceType>> ParseCrd(const Json& crd);

}  // namespace forkplane::crd
