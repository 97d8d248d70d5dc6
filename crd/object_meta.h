// metav1.ObjectMeta and its parts, as far as controllers use them. managedFields and selfLink are
// not carried: the store keeps them, whatever a controller writes.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::crd {

using StringMap = std::map<std::string, std::string>;

struct OwnerReference {
  std::string api_version;
  std::string kind;
  std::string name;
  std::string uid;
  bool controller = false;
  bool block_owner_deletion = false;
  bool operator==(const OwnerReference&) const = default;
};

struct ObjectMeta {
  std::string name;
  std::string generate_name;
  std::string ns;  // "" for cluster-scoped objects
  std::string uid;
  std::string resource_version;  // opaque; only the store looks inside
  std::int64_t generation = 0;
  std::string creation_timestamp;  // RFC 3339
  std::string deletion_timestamp;  // "": not being deleted
  std::int64_t deletion_grace_period_seconds = 0;
  StringMap labels;
  StringMap annotations;
  std::vector<OwnerReference> owner_references;
  std::vector<std::string> finalizers;

  bool IsBeingDeleted() const { return !deletion_timestamp.empty(); }
  bool HasFinalizer(std::string_view finalizer) const;
  // True if that changed anything.
  bool AddFinalizer(std::string_view finalizer);
  bool RemoveFinalizer(std::string_view finalizer);
  // The owner marked controller=true, or nullptr.
  const OwnerReference* ControllerRef() const;
  bool IsOwnedBy(std::string_view owner_uid) const;
  // "namespace/name", or "name" without a namespace: the key of queues and caches.
  std::string Key() const;
  bool operator==(const ObjectMeta&) const = default;
};

// The one label selector form our kinds use (metav1.LabelSelector).
struct LabelSelectorRequirement {
  std::string key;
  std::string op;  // In, NotIn, Exists, DoesNotExist
  std::vector<std::string> values;
  bool operator==(const LabelSelectorRequirement&) const = default;
};

struct LabelSelector {
  StringMap match_labels;
  std::vector<LabelSelectorRequirement> match_expressions;
  bool Empty() const { return match_labels.empty() && match_expressions.empty(); }
  bool Matches(const StringMap& labels) const;
  // "a=b,c in (d,e)": the form of status.selector and of ?labelSelector=.
  std::string ToString() const;
  bool operator==(const LabelSelector&) const = default;
};

// Name and labels a controller stamps on the objects it makes.
struct TemplateMeta {
  StringMap labels;
  StringMap annotations;
  bool operator==(const TemplateMeta&) const = default;
};

// metadata as Kubernetes checks it, with its exact texts: name or generateName present, RFC 1123,
// namespace, labels, annotations (256 KiB), ownerReferences, finalizers. `metadata` is the JSON
// object; fields are named from "metadata". At creation with generateName, name may be empty.
enum class NameRule : std::uint8_t { kSubdomain, kLabel, kAny };
std::vector<Cause> ValidateMetadata(const Json& metadata, bool namespaced, NameRule rule);
// The same of labels and annotations that stand elsewhere, as in a template; `field` names them.
void ValidateLabels(const std::string& field, const Json& labels, std::vector<Cause>& causes);
void ValidateAnnotations(const std::string& field, const Json& annotations,
                         std::vector<Cause>& causes);
// What may not change: name, namespace, uid, creationTimestamp, deletionTimestamp; and no new
// finalizer while the object is being deleted.
std::vector<Cause> ValidateMetadataUpdate(const Json& metadata, const Json& old);

// One text, "" when valid: used for names that are not metadata.name (a selector's key, a CRD's
// plural). Exact Kubernetes wording.
std::string CheckDnsSubdomain(std::string_view text);
std::string CheckDnsLabel(std::string_view text);
std::vector<std::string> CheckQualifiedName(std::string_view text);
std::string CheckLabelValue(std::string_view text);

}  // namespace forkplane::crd
