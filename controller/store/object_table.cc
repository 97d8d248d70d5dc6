#include "controller/store/object_table.h"

#include <algorithm>

#include "controller/store/continue_token.h"
#include "controller/store/errors.h"
#include "controller/store/limits.h"

namespace forkplane::store {
namespace {

// What history holds beyond the live objects.
std::size_t CostOf(const Change& change) {
  return sizeof(Change) + (change.before ? change.before->text.size() : 0) +
         (change.deleted ? change.state->text.size() : 0);
}

}  // namespace

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

void ObjectTable::Put(const ObjectKey& key, ObjectPtr object) {
  Index& index = objects_[key.resource];
  const std::string name = NamespacedName(key.ns, key.name);
  if (!object) {
    count_ -= index.erase(name);
    return;
  }
  const auto [it, inserted] = index.insert_or_assign(name, std::move(object));
  if (inserted) ++count_;
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
    history_.push_back(change);
  }
  TrimHistory();
  advanced_.NotifyAll();
}

void ObjectTable::TrimHistory() {
  const MonotonicTime oldest = clock_.Now() - kHistoryWindow;
  while (!history_.empty()) {
    const bool too_much = history_.size() > kHistoryEventsMax || history_bytes_ > kHistoryBytesMax;
    const bool too_old = history_.size() > kHistoryEventsMin && history_.front().at < oldest;
    if (!too_much && !too_old) return;
    history_bytes_ -= CostOf(history_.front());
    floor_ = history_.front().revision;
    history_.pop_front();
  }
}

ObjectPtr ObjectTable::Get(const ObjectKey& key) const {
  MutexLock lock(mu_);
  const auto index = objects_.find(key.resource);
  if (index == objects_.end()) return nullptr;
  const auto it = index->second.find(NamespacedName(key.ns, key.name));
  return it == index->second.end() ? nullptr : it->second;
}

Status ObjectTable::CheckSnapshot(Revision at) const {
  if (at > revision_) return FutureRevisionError(at, revision_);
  if (at < floor_) return ExpiredError(at, floor_);
  return OkStatus();
}

ObjectTable::Index ObjectTable::Range(const Filter& filter) const {
  const auto index = objects_.find(filter.resource);
  if (index == objects_.end()) return {};
  if (filter.ns.empty()) return index->second;
  const std::string first = filter.ns + "/";
  const std::string last = filter.ns + "0";  // '0' is the character after '/'
  return {index->second.lower_bound(first), index->second.lower_bound(last)};
}

ObjectTable::Index ObjectTable::IndexAt(const Filter& filter, Revision at) const {
  Index index = Range(filter);
  // Undo what came later, newest first.
  for (auto it = history_.rbegin(); it != history_.rend() && it->revision > at; ++it) {
    if (it->key.resource != filter.resource) continue;
    if (!filter.ns.empty() && it->key.ns != filter.ns) continue;
    const std::string name = NamespacedName(it->key.ns, it->key.name);
    if (it->before) {
      index.insert_or_assign(name, it->before);
    } else {
      index.erase(name);
    }
  }
  return index;
}

Result<ListResult> ObjectTable::List(const Filter& filter, const ListOptions& options) const {
  ContinueToken token{.revision = options.exact_revision, .start = {}};
  if (!options.continue_token.empty()) {
    if (options.exact_revision != 0) {
      return BadRequestError("specifying resource version is not allowed when using continue");
    }
    ASSIGN_OR_RETURN(token, DecodeContinue(options.continue_token));
  }
  ListResult result;
  Index index;
  {
    MutexLock lock(mu_);
    result.revision = token.revision == 0 ? revision_ : token.revision;
    RETURN_IF_ERROR(CheckSnapshot(result.revision));
    index = IndexAt(filter, result.revision);
  }
  const auto limit = options.limit > 0 ? static_cast<std::size_t>(options.limit) : index.size();
  for (auto it = index.lower_bound(token.start); it != index.end(); ++it) {
    if (!filter.Matches(*it->second)) continue;
    if (result.items.size() < limit) {
      result.items.push_back(it->second);
      continue;
    }
    result.continue_token = EncodeContinue({.revision = result.revision, .start = it->first});
    if (filter.labels.empty() && filter.fields.empty()) {
      result.remaining = static_cast<std::int64_t>(std::distance(it, index.end()));
    }
    break;
  }
  return result;
}

Result<std::vector<WatchEvent>> ObjectTable::Replay(const Filter& filter, Revision after) const {
  std::deque<Change> changes;
  {
    MutexLock lock(mu_);
    if (after < floor_) return ExpiredError(after, floor_);
    const auto first =
        std::partition_point(history_.begin(), history_.end(),
                             [after](const Change& change) { return change.revision <= after; });
    changes.assign(first, history_.end());
  }
  std::vector<WatchEvent> events;
  for (const Change& change : changes) {
    if (std::optional<WatchEvent> event = EventFor(filter, change)) {
      events.push_back(*std::move(event));
    }
  }
  return events;
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

bool ObjectTable::AwaitRevision(Revision wanted, const std::stop_token& stop,
                                MonotonicTime deadline) const {
  MutexLock lock(mu_);
  return advanced_.WaitUntil(mu_, stop, deadline, [this, wanted]() NO_THREAD_SAFETY_ANALYSIS {
    return revision_ >= wanted;
  });
}

}  // namespace forkplane::store
