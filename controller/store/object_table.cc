#include "controller/store/object_table.h"

#include <algorithm>

#include "controller/store/continue_token.h"
#include "controller/store/errors.h"
#include "controller/store/limits.h"

namespace forkplane::store {
namespace {

// An object with its parsed metadata and what the allocator adds, beside its text: 10 000
// ConfigMaps of 350 bytes were measured at 2 KB each.
constexpr std::size_t kObjectOverhead = 1600;

std::size_t CostOf(const ObjectPtr& object) { return kObjectOverhead + object->text.size(); }

// What history holds beyond the live objects.
std::size_t CostOf(const Change& change) {
  return sizeof(Change) + (change.before ? CostOf(change.before) : 0) +
         (change.deleted ? CostOf(change.state) : 0);
}

// The value that a field selector demands of a path; nothing when it demands none.
std::optional<std::string> Demanded(const FieldSelector& fields, std::string_view path) {
  for (const FieldRequirement& one : fields.requirements) {
    if (one.path == path && !one.negated) return one.value;
  }
  return std::nullopt;
}

// Keys with this prefix; all of them when it is empty. '0' is the character after '/'.
std::string PrefixOf(const Filter& filter) { return filter.ns.empty() ? "" : filter.ns + "/"; }
std::string EndOf(const Filter& filter) { return filter.ns.empty() ? "" : filter.ns + "0"; }

// Whether exactly one key can match, and which.
std::optional<std::string> OnlyKey(const Filter& filter, const ObjectIndex& objects) {
  const std::optional<std::string> name = Demanded(filter.fields, "metadata.name");
  if (!name) return std::nullopt;
  const std::string ns =
      filter.ns.empty() ? Demanded(filter.fields, "metadata.namespace").value_or("") : filter.ns;
  if (!ns.empty()) return NamespacedName(ns, *name);
  // Without a namespace only a cluster-scoped object has this key.
  return objects.Find(*name) ? name : std::nullopt;
}

}  // namespace

ListResult ListSnapshot(const Snapshot& snapshot, const Filter& filter, std::int64_t limit,
                        const std::string& start) {
  ListResult result;
  result.revision = snapshot.revision;
  if (const std::optional<std::string> only = OnlyKey(filter, snapshot.objects)) {
    const ObjectPtr object = snapshot.objects.Find(*only);
    if (object && *only >= start && filter.Matches(*object)) result.items.push_back(object);
    return result;
  }
  const std::string end = EndOf(filter);
  const auto most = limit > 0 ? static_cast<std::size_t>(limit) : snapshot.objects.size();
  snapshot.objects.VisitFrom(std::max(start, PrefixOf(filter)), [&](const std::string& key,
                                                                    const ObjectPtr& object) {
    if (!end.empty() && key >= end) return false;
    if (!filter.Matches(*object)) return true;
    if (result.items.size() < most) {
      result.items.push_back(object);
      return true;
    }
    result.continue_token = EncodeContinue({.revision = result.revision, .start = key});
    if (filter.labels.empty() && filter.fields.empty()) {
      const std::size_t last = end.empty() ? snapshot.objects.size() : snapshot.objects.Rank(end);
      result.remaining = static_cast<std::int64_t>(last - snapshot.objects.Rank(key));
    }
    return false;
  });
  return result;
}

std::string_view ToString(EventType type) {
  switch (type) {
    case EventType::kAdded:
      return "ADDED";
    case EventType::kModified:
      return "MODIFIED";
    case EventType::kDeleted:
      return "DELETED";
    case EventType::kBookmark:
      return "BOOKMARK";
  }
  return "UNKNOWN";
}

std::optional<WatchEvent> EventFor(const Filter& filter, const Change& change) {
  if (change.key.resource != filter.resource) return std::nullopt;
  if (!filter.ns.empty() && change.key.ns != filter.ns) return std::nullopt;
  const bool was = change.before && filter.Matches(*change.before);
  const bool is = change.after() && filter.Matches(*change.after());
  if (is) {
    return WatchEvent{.type = was ? EventType::kModified : EventType::kAdded,
                      .object = change.state,
                      .revision = change.revision};
  }
  if (!was) return std::nullopt;
  return WatchEvent{
      .type = EventType::kDeleted,
      .object = change.deleted ? change.state : AtRevision(*change.before, change.revision),
      .revision = change.revision};
}

void ObjectTable::Seed(const ObjectKey& key, ObjectPtr object) {
  MutexLock lock(mu_);
  revision_ = std::max(revision_, object->meta.revision);
  Put(key, std::move(object));
}

void ObjectTable::SetFloor(Revision floor) {
  MutexLock lock(mu_);
  floor_ = floor;
  revision_ = std::max(revision_, floor);
}

void ObjectTable::SkipTo(Revision revision) {
  MutexLock lock(mu_);
  if (revision <= revision_) return;
  gap_after_ = revision_;
  gap_before_ = revision;
  revision_ = revision;
}

void ObjectTable::Put(const ObjectKey& key, ObjectPtr object) {
  ObjectIndex& index = objects_[key.resource];
  const std::string name = NamespacedName(key.ns, key.name);
  const std::size_t before = index.size();
  if (object) {
    index.Put(name, std::move(object));
  } else {
    index.Erase(name);
  }
  count_ += index.size() - before;
}

void ObjectTable::Apply(std::span<Change> changes) {
  MutexLock lock(mu_);
  const MonotonicTime now = clock_.Now();
  for (Change& change : changes) {
    CHECK(change.revision > revision_);
    revision_ = change.revision;
    change.at = now;
    Put(change.key, change.after());
    history_bytes_ += CostOf(change);
    history_.push_back(std::make_shared<const Change>(change));
  }
  TrimHistory();
  advanced_.NotifyAll();
}

void ObjectTable::ForgetOldHistory() {
  MutexLock lock(mu_);
  TrimHistory();
}

void ObjectTable::TrimHistory() {
  const MonotonicTime oldest = clock_.Now() - kHistoryWindow;
  while (!history_.empty()) {
    const Change& first = *history_.front();
    const bool too_much = history_.size() > kHistoryEventsMax || history_bytes_ > kHistoryBytesMax;
    const bool too_old = history_.size() > kHistoryEventsMin && first.at < oldest;
    if (!too_much && !too_old) return;
    history_bytes_ -= CostOf(first);
    floor_ = first.revision;
    history_.pop_front();
  }
}

ObjectPtr ObjectTable::Get(const ObjectKey& key) const {
  MutexLock lock(mu_);
  const auto index = objects_.find(key.resource);
  return index == objects_.end() ? nullptr : index->second.Find(NamespacedName(key.ns, key.name));
}

Status ObjectTable::CheckHeld(Revision at) const {
  if (at > revision_) return FutureRevisionError(at, revision_);
  if (at < floor_) return ExpiredError(at, floor_);
  if (at > gap_after_ && at < gap_before_) return ExpiredError(at, gap_before_);
  return OkStatus();
}

std::vector<ChangePtr> ObjectTable::AfterLocked(Revision after) const {
  const auto first =
      std::partition_point(history_.begin(), history_.end(),
                           [after](const ChangePtr& change) { return change->revision <= after; });
  return {first, history_.end()};
}

Snapshot ObjectTable::Newest(const GroupResource& resource) const {
  MutexLock lock(mu_);
  const auto index = objects_.find(resource);
  return {index == objects_.end() ? ObjectIndex() : index->second, revision_};
}

Result<Snapshot> ObjectTable::SnapshotAt(const GroupResource& resource, Revision at) const {
  Snapshot snapshot{.objects = {}, .revision = at};
  std::vector<ChangePtr> later;
  {
    MutexLock lock(mu_);
    RETURN_IF_ERROR(CheckHeld(at));
    if (const auto index = objects_.find(resource); index != objects_.end()) {
      snapshot.objects = index->second;
    }
    later = AfterLocked(at);
  }
  // What came later is undone, newest first.
  for (auto it = later.rbegin(); it != later.rend(); ++it) {
    const Change& change = **it;
    if (change.key.resource != resource) continue;
    const std::string name = NamespacedName(change.key.ns, change.key.name);
    if (change.before) {
      snapshot.objects.Put(name, change.before);
    } else {
      snapshot.objects.Erase(name);
    }
  }
  return snapshot;
}

Result<ListResult> ObjectTable::List(const Filter& filter, const ListOptions& options) const {
  ContinueToken token{.revision = options.exact_revision, .start = {}};
  if (!options.continue_token.empty()) {
    if (options.exact_revision != 0) {
      return BadRequestError("specifying resource version is not allowed when using continue");
    }
    ASSIGN_OR_RETURN(token, DecodeContinue(options.continue_token));
  }
  if (token.revision == 0) {
    return ListSnapshot(Newest(filter.resource), filter, options.limit, token.start);
  }
  ASSIGN_OR_RETURN(const Snapshot snapshot, SnapshotAt(filter.resource, token.revision));
  return ListSnapshot(snapshot, filter, options.limit, token.start);
}

Result<std::vector<ChangePtr>> ObjectTable::ChangesAfter(Revision after) const {
  MutexLock lock(mu_);
  RETURN_IF_ERROR(CheckHeld(after));
  return AfterLocked(after);
}

Revision ObjectTable::revision() const {
  MutexLock lock(mu_);
  return revision_;
}

Revision ObjectTable::floor() const {
  MutexLock lock(mu_);
  return floor_;
}

std::size_t ObjectTable::size() const {
  MutexLock lock(mu_);
  return count_;
}

std::size_t ObjectTable::CountOf(const GroupResource& resource) const {
  MutexLock lock(mu_);
  const auto index = objects_.find(resource);
  return index == objects_.end() ? 0 : index->second.size();
}

bool ObjectTable::AwaitRevision(Revision wanted, const std::stop_token& stop,
                                MonotonicTime deadline) const {
  MutexLock lock(mu_);
  return advanced_.WaitUntil(mu_, stop, deadline, [this, wanted]() NO_THREAD_SAFETY_ANALYSIS {
    return revision_ >= wanted;
  });
}

}  // namespace forkplane::store
