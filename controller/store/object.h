// What the store holds: an immutable JSON text that already carries metadata.resourceVersion, and
// beside it the few facts indexes, selectors and loops need, so that GET, LIST and WATCH hand the
// text on without parsing it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace forkplane::store {

// One counter for the whole store. Every committed write gets the next value; it never goes back,
// also not across a restart. As text it is metadata.resourceVersion. 0: no revision.
using Revision = std::uint64_t;

// The decimal string of metadata.resourceVersion; nothing else is a revision ("" is 0).
bool ParseRevision(std::string_view text, Revision* revision);

// A served resource, whatever its version: {"forkplane.dev", "virtualmachines"}, {"", "events"}.
struct GroupResource {
  std::string group;
  std::string plural;
  auto operator<=>(const GroupResource&) const = default;
};
// "virtualmachines.forkplane.dev"; the core group has no suffix: "configmaps".
std::string ToString(const GroupResource& resource);

struct ObjectKey {
  GroupResource resource;
  std::string ns;  // empty: cluster-scoped
  std::string name;
  auto operator<=>(const ObjectKey&) const = default;
};
// "ns/name", or "name" when cluster-scoped: the form of work-queue keys and log lines.
std::string NamespacedName(std::string_view ns, std::string_view name);
// The two parts again; ns is empty without a slash.
std::pair<std::string, std::string> SplitNamespacedName(std::string_view key);

struct OwnerReference {
  std::string api_version;
  std::string kind;
  std::string name;
  std::string uid;
  bool controller = false;
  bool block_owner_deletion = false;
  bool operator==(const OwnerReference&) const = default;
};

using Labels = std::map<std::string, std::string, std::less<>>;

// The extracted part of metadata. Times are the strings of the object (RFC 3339, UTC).
struct Meta {
  std::string ns;
  std::string name;
  std::string uid;
  Revision revision = 0;
  std::int64_t generation = 0;
  std::string creation_timestamp;
  std::string deletion_timestamp;  // empty: not being deleted
  Labels labels;
  std::vector<std::string> finalizers;
  std::vector<OwnerReference> owners;

  bool terminating() const { return !deletion_timestamp.empty(); }
};

// Immutable and shared: readers, watchers and history hold the same one.
struct Object {
  Meta meta;
  // Values of the type's selectable fields by path ("status.phase"); metadata.* is in `meta`.
  std::vector<std::pair<std::string, std::string>> fields;
  std::string api_version;
  std::string kind;
  std::string text;  // compact JSON, UTF-8, with resourceVersion

  // Not empty: the stored record cannot be read, and why. All else but the key is unknown then.
  // Such an object occupies its name and shows in no list: what is not understood is not taken for
  // absent.
  std::string unreadable = {};

  // Where the digits of resourceVersion stand in `text`; lets the store put another revision in
  // without parsing (a DELETED event carries the last state at the revision of the deletion).
  std::size_t revision_offset = 0;
  std::size_t revision_length = 0;
};
using ObjectPtr = std::shared_ptr<const Object>;

// The same object at another revision.
ObjectPtr AtRevision(const Object& object, Revision revision);

}  // namespace forkplane::store
