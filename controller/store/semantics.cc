#include "controller/store/semantics.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "crd/json_members.h"

namespace forkplane::store {
namespace {

using crd::Json;

constexpr const char* kForegroundFinalizer = "foregroundDeletion";
constexpr const char* kOrphanFinalizer = "orphan";

// Metadata the server alone writes; an update keeps the stored values whatever was sent.
constexpr std::array kSystemMetadata = {
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "generation",        "selfLink",          "uid"};

bool IsNamespace(const crd::ResourceType& type) {
  return type.group.empty() && type.plural == "namespaces";
}

void CopyMember(const Json& from, Json& to, const char* name) {
  const auto it = from.find(name);
  if (it == from.end()) {
    to.erase(name);
  } else {
    to[name] = *it;
  }
}

Json& ObjectMember(Json& json, const char* name) {
  Json& member = json[name];
  if (!member.is_object()) member = Json::object();
  return member;
}

GroupResource ResourceOf(const crd::ResourceType& type) { return {type.group, type.plural}; }

std::vector<std::string> NamespaceFinalizers(const Json& object) {
  const auto spec = object.find("spec");
  return spec == object.end() ? std::vector<std::string>() : crd::TextsOf(*spec, "finalizers");
}

// Nothing holds the object back any more.
bool IsFree(const crd::ResourceType& type, const Json& object) {
  if (!crd::TextsOf(object["metadata"], "finalizers").empty()) return false;
  return !IsNamespace(type) || NamespaceFinalizers(object).empty();
}

bool IsTerminating(const Json& object) {
  return !crd::TextOf(object["metadata"], "deletionTimestamp").empty();
}

Status CheckNamespace(const Json& metadata, const std::string& ns) {
  const std::string sent = crd::TextOf(metadata, "namespace");
  if (sent.empty() || sent == ns) return OkStatus();
  return BadRequestError(
      "the namespace of the provided object does not match the namespace sent on the request");
}

void FillNamespace(Json& metadata, const std::string& ns) {
  if (ns.empty()) {
    metadata.erase("namespace");
  } else {
    metadata["namespace"] = ns;
  }
}

// generateName's base is cut so that base and suffix fit a DNS label.
void FillName(Json& metadata, const std::string& suffix) {
  const std::string base = crd::TextOf(metadata, "generateName");
  if (!crd::TextOf(metadata, "name").empty() || base.empty()) return;
  metadata["name"] = base.substr(0, kGenerateNameBaseMax) + suffix;
}

// spec.finalizers holds a namespace until its content is gone.
void FillNewNamespace(Json& object) {
  ObjectMember(object, "spec")["finalizers"] = Json::array({"kubernetes"});
  object["status"] = Json{{"phase", "Active"}};
  Json& metadata = object["metadata"];
  ObjectMember(metadata, "labels")["kubernetes.io/metadata.name"] = crd::TextOf(metadata, "name");
}

Status Validate(const crd::ResourceType& type, const Json& object, const Json* old) {
  std::vector<Cause> causes = crd::ValidateObject(type, object, old);
  if (causes.empty()) return OkStatus();
  return crd::InvalidObject(type, crd::TextOf(object["metadata"], "name"), std::move(causes));
}

Status CheckRevision(const crd::ResourceType& type, const ObjectKey& key, const Json& live,
                     const Json& sent_metadata) {
  const std::string sent = crd::TextOf(sent_metadata, "resourceVersion");
  if (sent.empty()) {
    if (type.unconditional_update) return OkStatus();
    return crd::InvalidObject(
        type, key.name,
        {crd::InvalidCause("metadata.resourceVersion", "0x0", "must be specified for an update")});
  }
  Revision revision = 0;
  if (!ParseRevision(sent, &revision)) {
    return BadRequestError(fmt::format("metadata.resourceVersion: invalid value {:?}", sent));
  }
  if (sent == crd::TextOf(live["metadata"], "resourceVersion")) return OkStatus();
  return ConflictError(key.resource, key.name);
}

Status CheckIdentity(const ObjectKey& key, const Json& live, const Json& metadata) {
  const std::string name = crd::TextOf(metadata, "name");
  if (!name.empty() && name != key.name) {
    return BadRequestError(fmt::format(
        "the name of the object ({}) does not match the name on the URL ({})", name, key.name));
  }
  RETURN_IF_ERROR(CheckNamespace(metadata, key.ns));
  const std::string uid = crd::TextOf(metadata, "uid");
  const std::string live_uid = crd::TextOf(live["metadata"], "uid");
  if (uid.empty() || uid == live_uid) return OkStatus();
  return ConflictError(
      key.resource, key.name,
      fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", uid,
                  live_uid));
}

Status CheckNewFinalizers(const crd::ResourceType& type, const ObjectKey& key, const Json& live,
                          const Json& object) {
  if (!IsTerminating(live)) return OkStatus();
  const std::vector<std::string> before = crd::TextsOf(live["metadata"], "finalizers");
  std::string added;
  for (const std::string& one : crd::TextsOf(object["metadata"], "finalizers")) {
    if (std::find(before.begin(), before.end(), one) != before.end()) continue;
    added += fmt::format("{}{:?}", added.empty() ? "" : ", ", one);
  }
  if (added.empty()) return OkStatus();
  return crd::InvalidObject(
      type, key.name,
      {crd::ForbiddenCause("metadata.finalizers",
                           fmt::format("no new finalizers can be added if the object is being "
                                       "deleted, found new finalizers []string{{{}}}",
                                       added))});
}

// What would say how a protected object is to be deleted. What it has already (a store of an
// earlier version) may stay or go.
Status CheckProtected(const crd::ResourceType& type, const std::string& name, const Json* live,
                      const Json& object) {
  if (!type.protected_ownership || !type.protected_names.contains(name)) return OkStatus();
  for (const char* member : {"finalizers", "ownerReferences"}) {
    const auto wanted = object["metadata"].find(member);
    if (wanted == object["metadata"].end() || wanted->empty()) continue;
    if (live != nullptr && (*live)["metadata"].value(member, Json()) == *wanted) continue;
    return ForbiddenError(ResourceOf(type), name,
                          fmt::format("{}: it takes no {}", type.protected_why, member));
  }
  return OkStatus();
}

// The main endpoint: all of the body but what belongs to the server or to another endpoint.
Json MergeMain(const crd::ResourceType& type, const ObjectKey& key, const Json& live, Json body) {
  Json& metadata = ObjectMember(body, "metadata");
  for (const char* name : kSystemMetadata) CopyMember(live["metadata"], metadata, name);
  metadata["name"] = key.name;
  FillNamespace(metadata, key.ns);
  if (type.status_subresource) CopyMember(live, body, "status");
  if (IsNamespace(type)) {
    Json& spec = ObjectMember(body, "spec");
    spec["finalizers"] = NamespaceFinalizers(live);
  }
  return body;
}

Json MergeFinalize(const Json& live, const Json& body) {
  Json object = live;
  ObjectMember(object, "spec")["finalizers"] = NamespaceFinalizers(body);
  return object;
}

Json Merge(const crd::ResourceType& type, const ObjectKey& key, const Json& live, Json body,
           Part part) {
  switch (part) {
    case Part::kMain:
      return MergeMain(type, key, live, std::move(body));
    case Part::kStatus: {
      Json object = live;
      CopyMember(body, object, "status");
      return object;
    }
    case Part::kFinalize:
      return MergeFinalize(live, body);
  }
  return live;
}

// Whether something changed that generation counts: all but metadata and, when the type has the
// subresource, status.
bool ContentDiffers(const crd::ResourceType& type, const Json& a, const Json& b) {
  const auto content = [&type](const Json& object) {
    Json copy = object;
    copy.erase("metadata");
    if (type.status_subresource) copy.erase("status");
    return copy;
  };
  return content(a) != content(b);
}

void RaiseGeneration(const crd::ResourceType& type, Json& object) {
  if (!type.has_generation) return;
  Json& generation = object["metadata"]["generation"];
  generation = (generation.is_number_integer() ? generation.get<std::int64_t>() : 0) + 1;
}

Outcome Settle(Outcome::Kind kind, Json json) {
  return {kind, std::make_shared<const Json>(std::move(json))};
}

Status CheckPreconditions(const ObjectKey& key, const Json& live, const DeleteOptions& options) {
  const Json& metadata = live["metadata"];
  const std::string uid = crd::TextOf(metadata, "uid");
  if (options.uid && *options.uid != uid) {
    return ConflictError(
        key.resource, key.name,
        fmt::format("the UID in the precondition ({}) does not match the UID in record ({}). The "
                    "object might have been deleted and then recreated",
                    *options.uid, uid));
  }
  const std::string revision = crd::TextOf(metadata, "resourceVersion");
  if (options.revision && std::to_string(*options.revision) != revision) {
    return ConflictError(
        key.resource, key.name,
        fmt::format("the ResourceVersion in the precondition ({}) does not match the "
                    "ResourceVersion in record ({}). The object might have been modified",
                    *options.revision, revision));
  }
  return OkStatus();
}

// The garbage collector's finalizers follow the policy; without one, what is there stays.
void ApplyPropagation(std::optional<Propagation> propagation, Json& metadata) {
  if (!propagation) return;
  std::vector<std::string> finalizers = crd::TextsOf(metadata, "finalizers");
  std::erase_if(finalizers, [](const std::string& one) {
    return one == kForegroundFinalizer || one == kOrphanFinalizer;
  });
  if (*propagation == Propagation::kForeground) finalizers.emplace_back(kForegroundFinalizer);
  if (*propagation == Propagation::kOrphan) finalizers.emplace_back(kOrphanFinalizer);
  if (finalizers.empty()) {
    metadata.erase("finalizers");
  } else {
    metadata["finalizers"] = finalizers;
  }
}

// A user's definition goes after its objects, whoever took its finalizer away, and says so at once
// (the words of the apiextensions server).
void BeginRetirement(Json& definition, WallTime now) {
  Json& metadata = definition["metadata"];
  std::vector<std::string> finalizers = crd::TextsOf(metadata, "finalizers");
  if (std::find(finalizers.begin(), finalizers.end(), kCleanupFinalizer) == finalizers.end()) {
    finalizers.emplace_back(kCleanupFinalizer);
    metadata["finalizers"] = finalizers;
  }
  Json& conditions = ObjectMember(definition, "status")["conditions"];
  if (!conditions.is_array()) conditions = Json::array();
  for (auto it = conditions.begin(); it != conditions.end(); ++it) {
    if (!it->is_object() || crd::TextOf(*it, "type") != "Terminating") continue;
    conditions.erase(it);
    break;
  }
  conditions.push_back({{"type", "Terminating"},
                        {"status", "True"},
                        {"lastTransitionTime", FormatTime(now)},
                        {"reason", "InstanceDeletionPending"},
                        {"message",
                         "CustomResourceDefinition marked for deletion; CustomResource deletion "
                         "will begin soon"}});
}

}  // namespace

std::optional<GroupResource> DefinedResource(const crd::ResourceType& type, std::string_view name) {
  const std::size_t dot = name.find('.');
  if (ResourceOf(type) != DefinitionResource() || type.protected_names.contains(name) ||
      dot == std::string_view::npos) {
    return std::nullopt;
  }
  return GroupResource{std::string(name.substr(dot + 1)), std::string(name.substr(0, dot))};
}

Result<Json> DecodeBody(const std::string& text) {
  Result<Json> parsed = crd::ParseJson(text);
  if (!parsed.ok()) return BadRequestError(parsed.error().message);
  Json body = std::move(parsed).value();
  RETURN_IF_ERROR(CheckBody(body));
  return body;
}

Status CheckBody(Json& body) {
  if (!body.is_object()) return BadRequestError("the body is not a JSON object");
  Json& metadata = body["metadata"];
  if (metadata.is_null()) metadata = Json::object();
  if (!metadata.is_object()) return BadRequestError("metadata is not an object");
  return OkStatus();
}

Result<Json> PrepareCreate(const crd::ResourceType& type, Json body, const Birth& birth) {
  Json& metadata = body["metadata"];
  RETURN_IF_ERROR(CheckNamespace(metadata, birth.ns));
  if (!crd::TextOf(metadata, "resourceVersion").empty()) {
    return BadRequestError("resourceVersion should not be set on objects to be created");
  }
  for (const char* name : kSystemMetadata) metadata.erase(name);
  metadata.erase("resourceVersion");
  FillNamespace(metadata, birth.ns);
  FillName(metadata, birth.name_suffix);
  metadata["uid"] = birth.uid;
  metadata["creationTimestamp"] = FormatTime(birth.now);
  if (type.has_generation) metadata["generation"] = 1;
  if (type.status_subresource) body.erase("status");
  if (IsNamespace(type)) FillNewNamespace(body);
  crd::PruneObject(type, body);
  crd::DefaultObject(type, body);
  RETURN_IF_ERROR(CheckProtected(type, crd::TextOf(metadata, "name"), nullptr, body));
  RETURN_IF_ERROR(Validate(type, body, nullptr));
  return body;
}

Result<Outcome> PrepareUpdate(const crd::ResourceType& type, const ObjectKey& key, const Json& live,
                              Json body, Part part) {
  RETURN_IF_ERROR(CheckIdentity(key, live, body["metadata"]));
  RETURN_IF_ERROR(CheckRevision(type, key, live, body["metadata"]));
  Json object = Merge(type, key, live, std::move(body), part);
  CopyMember(live["metadata"], object["metadata"], "resourceVersion");
  crd::PruneObject(type, object);
  crd::DefaultObject(type, object);
  RETURN_IF_ERROR(CheckNewFinalizers(type, key, live, object));
  RETURN_IF_ERROR(CheckProtected(type, key.name, &live, object));
  RETURN_IF_ERROR(Validate(type, object, &live));
  if (object == live) return Settle(Outcome::Kind::kSame, std::move(object));
  if (ContentDiffers(type, object, live)) RaiseGeneration(type, object);
  const bool removed = IsTerminating(object) && IsFree(type, object);
  return Settle(removed ? Outcome::Kind::kRemove : Outcome::Kind::kReplace, std::move(object));
}

Result<Outcome> PrepareDelete(const crd::ResourceType& type, const ObjectKey& key, const Json& live,
                              const DeleteOptions& options, WallTime now) {
  RETURN_IF_ERROR(CheckPreconditions(key, live, options));
  if (type.protected_names.contains(key.name)) {
    return ForbiddenError(ResourceOf(type), key.name, type.protected_why);
  }
  Json object = live;
  ApplyPropagation(options.propagation, object["metadata"]);
  if (!IsTerminating(object) && DefinedResource(type, key.name)) BeginRetirement(object, now);
  if (IsFree(type, object)) return Settle(Outcome::Kind::kRemove, std::move(object));
  if (!IsTerminating(object)) {
    object["metadata"]["deletionTimestamp"] = FormatTime(now);
    object["metadata"]["deletionGracePeriodSeconds"] = 0;
    RaiseGeneration(type, object);
    if (IsNamespace(type)) ObjectMember(object, "status")["phase"] = "Terminating";
  }
  const bool same = object == live;
  return Settle(same ? Outcome::Kind::kSame : Outcome::Kind::kReplace, std::move(object));
}

}  // namespace forkplane::store
