// What a write means, as pure functions: from the stored object and the request to the object as it
// shall be stored. No clock, no locks, no store (kubernetes-api.md 2.5 to 2.8).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "controller/store/object_store.h"
#include "crd/json.h"
#include "crd/resource_type.h"

namespace forkplane::store {

// What the world adds to a new object.
struct Birth {
  std::string ns;  // from the URL
  std::string uid;
  WallTime now;
  std::string name_suffix;  // for generateName
};

// What shall be stored instead of the object that is there.
struct Outcome {
  enum class Kind : std::uint8_t { kSame, kReplace, kRemove };
  Kind kind = Kind::kSame;
  std::shared_ptr<const crd::Json> json;  // the new state; of kRemove the last one
};

// The text of a request as a JSON object with a metadata object. BadRequest.
Result<crd::Json> DecodeBody(const std::string& text);
// The same of a value: BadRequest unless it is an object whose metadata is one; absent metadata
// becomes an empty object.
Status CheckBody(crd::Json& body);

Result<crd::Json> PrepareCreate(const crd::ResourceType& type, crd::Json body, const Birth& birth);

// `live` is the stored object's JSON, `key` the URL's.
Result<Outcome> PrepareUpdate(const crd::ResourceType& type, const ObjectKey& key,
                              const crd::Json& live, crd::Json body, Part part);

Result<Outcome> PrepareDelete(const crd::ResourceType& type, const ObjectKey& key,
                              const crd::Json& live, const DeleteOptions& options, WallTime now);

// The finalizer that holds a definition until its objects are gone.
inline constexpr const char* kCleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

// A definition that is nobody's but a user's: deleting it takes its objects. Nothing for other
// resources and for the definitions of the server's own kinds.
std::optional<GroupResource> DefinedResource(const crd::ResourceType& type, std::string_view name);

inline const GroupResource& DefinitionResource() {
  static const GroupResource kDefinitions{"apiextensions.k8s.io", "customresourcedefinitions"};
  return kDefinitions;
}

inline const GroupResource& NamespaceResource() {
  static const GroupResource kNamespaces{"", "namespaces"};
  return kNamespaces;
}

}  // namespace forkplane::store
