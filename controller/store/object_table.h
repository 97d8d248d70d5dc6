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
#include "controller/store/object_index.h"
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

using ChangePtr = std::shared_ptr<const Change>;

// What a list or a watch asks for.
struct Filter {
  GroupResource resource;
  std::string ns;
  LabelSelector labels;
  FieldSelector fields;

  bool Matches(const Object& object) const {
    return object.unreadable.empty() && (ns.empty() || object.meta.ns == ns) &&
           labels.Matches(object.meta.labels) && (fields.empty() || fields.Matches(object));
  }
};

// What a watch with this filter is told of a change; nothing when it does not concern it. Leaving
// the selector looks like a deletion, entering it like a creation.
std::optional<WatchEvent> EventFor(const Filter& filter, const Change& change);

// The objects of one resource as they are at a revision.
struct Snapshot {
  ObjectIndex objects;
  Revision revision = 0;
};

// What of it matches, from the key `start` on; limit <= 0: all. A key that namespace and name give
// is looked up, whatever else is there.
ListResult ListSnapshot(const Snapshot& snapshot, const Filter& filter, std::int64_t limit,
                        const std::string& start);

// NOTE Threading: thread-safe; Apply by one thread (the commit loop). The lock is held for one
// object at a time, or for a pointer of each change of a history that a caller goes back to: what a
// list or a watch reads, it reads from a snapshot, without the lock.
class ObjectTable {
 public:
  explicit ObjectTable(Clock& clock) : clock_(clock) {}

  // Start: records before history, then the floor, then changes by Apply, then SkipTo.
  void Seed(const ObjectKey& key, ObjectPtr object) EXCLUDES(mu_);
  void SetFloor(Revision floor) EXCLUDES(mu_);
  // The next change comes after `revision`, whatever was given out up to there: in an older backup
  // revisions are missing that clients have seen. Those in between are Expired.
  void SkipTo(Revision revision) EXCLUDES(mu_);

  // By rising revision, continuing where the last call ended.
  void Apply(std::span<Change> changes) EXCLUDES(mu_);
  // What became too old since the last write: a store that is quiet keeps no hour of history.
  void ForgetOldHistory() EXCLUDES(mu_);

  ObjectPtr Get(const ObjectKey& key) const EXCLUDES(mu_);
  // Expired, BadRequest (continue token).
  Result<ListResult> List(const Filter& filter, const ListOptions& options) const EXCLUDES(mu_);
  // The newest state.
  Snapshot Newest(const GroupResource& resource) const EXCLUDES(mu_);
  // What came after `after`, of all resources. Expired; FutureRevisionError.
  Result<std::vector<ChangePtr>> ChangesAfter(Revision after) const EXCLUDES(mu_);

  Revision revision() const EXCLUDES(mu_);
  // History reaches back to the state at this revision.
  Revision floor() const EXCLUDES(mu_);
  std::size_t size() const EXCLUDES(mu_);
  std::size_t CountOf(const GroupResource& resource) const EXCLUDES(mu_);
  // Waits until revision() >= wanted.
  bool AwaitRevision(Revision wanted, const std::stop_token& stop, MonotonicTime deadline) const
      EXCLUDES(mu_);

 private:
  void Put(const ObjectKey& key, ObjectPtr object) REQUIRES(mu_);
  void TrimHistory() REQUIRES(mu_);
  Status CheckHeld(Revision at) const REQUIRES(mu_);
  // Expired.
  Result<Snapshot> SnapshotAt(const GroupResource& resource, Revision at) const EXCLUDES(mu_);
  std::vector<ChangePtr> AfterLocked(Revision after) const REQUIRES(mu_);

  Clock& clock_;
  mutable Mutex mu_;
  mutable CondVar advanced_;
  std::map<GroupResource, ObjectIndex> objects_ GUARDED_BY(mu_);
  std::size_t count_ GUARDED_BY(mu_) = 0;
  std::deque<ChangePtr> history_ GUARDED_BY(mu_);
  std::size_t history_bytes_ GUARDED_BY(mu_) = 0;
  Revision floor_ GUARDED_BY(mu_) = 0;
  Revision revision_ GUARDED_BY(mu_) = 0;
  // Nothing of this store is known at the revisions between these two (neither included).
  Revision gap_after_ GUARDED_BY(mu_) = 0;
  Revision gap_before_ GUARDED_BY(mu_) = 0;
};

}  // namespace forkplane::store
