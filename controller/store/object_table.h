// The committed objects, by key, and the recent history of how they came to be so.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/mutex.h"
#include "controller/store/object_store.h"

namespace forkplane::store {

// One committed write.
struct Change {
  Revision revision = 0;
  ObjectKey key;
  ObjectPtr before;  // null: created
  ObjectPtr state;   // at `revision`; of a deletion the last state
  bool deleted = false;
  MonotonicTime at = {};

  // What is there afterwards.
  const ObjectPtr& after() const {
    static const ObjectPtr kNone;
    return deleted ? kNone : state;
  }
};

// What a list or a watch asks for.
struct Filter {
  GroupResource resource;
  std::string ns;
  LabelSelector labels;
  FieldSelector fields;

  bool Matches(const Object& object) const {
    return (ns.empty() || object.meta.ns == ns) && labels.Matches(object.meta.labels) &&
           (fields.empty() || fields.Matches(object));
  }
};

// What a watch with this filter is told of a change; nothing when it does not concern it. Leaving
// the selector looks like a deletion, entering it like a creation.
std::optional<WatchEvent> EventFor(const Filter& filter, const Change& change);

// NOTE Threading: thread-safe; Apply by one thread (the commit loop).
class ObjectTable {
 public:
  explicit ObjectTable(Clock& clock) : clock_(clock) {}

  // Start: records before history, then the floor, then changes by Apply.
  void Seed(const ObjectKey& key, ObjectPtr object) EXCLUDES(mu_);
  void SetFloor(Revision floor) EXCLUDES(mu_);

  // By rising revision, continuing where the last call ended.
  void Apply(std::span<Change> changes) EXCLUDES(mu_);

  ObjectPtr Get(const ObjectKey& key) const EXCLUDES(mu_);
  // Expired, BadRequest (continue token).
  Result<ListResult> List(const Filter& filter, const ListOptions& options) const EXCLUDES(mu_);
  // The events after `after` that concern the filter. Expired.
  Result<std::vector<WatchEvent>> Replay(const Filter& filter, Revision after) const EXCLUDES(mu_);

  Revision revision() const EXCLUDES(mu_);
  // History reaches back to the state at this revision.
  Revision floor() const EXCLUDES(mu_);
  std::size_t size() const EXCLUDES(mu_);
  // Waits until revision() >= wanted.
  bool AwaitRevision(Revision wanted, const std::stop_token& stop, MonotonicTime deadline) const
      EXCLUDES(mu_);

 private:
  using Index = std::map<std::string, ObjectPtr>;  // by "ns/name"

  void Put(const ObjectKey& key, ObjectPtr object) REQUIRES(mu_);
  void TrimHistory() REQUIRES(mu_);
  Status CheckSnapshot(Revision at) const REQUIRES(mu_);
  // The resource's objects as they were at a revision of the history.
  Index IndexAt(const Filter& filter, Revision at) const REQUIRES(mu_);
  Index Range(const Filter& filter) const REQUIRES(mu_);

  Clock& clock_;
  mutable Mutex mu_;
  mutable CondVar advanced_;
  std::map<GroupResource, Index> objects_ GUARDED_BY(mu_);
  std::size_t count_ GUARDED_BY(mu_) = 0;
  std::deque<Change> history_ GUARDED_BY(mu_);
  std::size_t history_bytes_ GUARDED_BY(mu_) = 0;
  Revision floor_ GUARDED_BY(mu_) = 0;
  Revision revision_ GUARDED_BY(mu_) = 0;
};

}  // namespace forkplane::store
