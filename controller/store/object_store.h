// The one door to API objects, for reconcilers and for the API server. LocalObjectStore keeps them
// in the embedded revision log; a client of a real cluster can stand behind the same interface.
//
// NOTE API: bytes in, bytes out. A written text is one JSON object; what comes back is the stored
// Object with uid, resourceVersion, defaults and the rest. The object's own
// metadata.resourceVersion is the precondition of an update, as in Kubernetes. Absent is not an
// error in Get (null); it is in Update and Delete. NOTE Threading: everything may be called from
// any thread. Writes return when they are durable; readers and watchers see a write only after
// that. No call of ours holds a lock while it calls you. NOTE Errors: see errors.h; texts and codes
// are those of kube-apiserver 1.20 to 1.32, so the HTTP layer passes them on. Unavailable: the
// store is closing or the disk refused; nothing was written unless Internal says otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "controller/store/object.h"
#include "controller/store/selector.h"
#include "crd/json.h"

namespace forkplane::store {

// Live events a watch may lag behind before it is closed. (The initial state and the replayed
// history are not counted: they are bounded by the store itself.)
inline constexpr std::size_t kWatchQueueEvents = 1000;

struct ListOptions {
  std::string ns = {};  // empty: all namespaces
  LabelSelector labels = {};
  FieldSelector fields = {};  // a path the type does not allow: BadRequest
  std::int64_t limit = 0;     // <= 0: everything
  // From ListResult; goes on in the snapshot of the first page, wherever the store is by now.
  // Garbage: BadRequest. Snapshot gone: Expired (InconsistentContinue makes the token to go on
  // with).
  std::string continue_token = {};
  // Exactly this revision's state (resourceVersionMatch=Exact). 0: the newest. With a
  // continue_token: BadRequest.
  Revision exact_revision = 0;
};

struct ListResult {
  std::vector<ObjectPtr> items;  // by "ns/name", bytewise
  Revision revision = 0;         // of the snapshot, not of the newest item; watch from here
  std::string continue_token;    // empty: that was all
  // How many follow; only without selectors, only when there is a continue_token.
  std::optional<std::int64_t> remaining;
};

enum class EventType : std::uint8_t { kAdded, kModified, kDeleted, kBookmark };
// "ADDED", "MODIFIED", "DELETED", "BOOKMARK"
std::string_view ToString(EventType type);

struct WatchEvent {
  EventType type = EventType::kAdded;
  // kDeleted: the last state that matched, at the revision of its deletion or of the write by which
  // it left the selector. kBookmark: null.
  ObjectPtr object = nullptr;
  Revision revision = 0;  // resume from here and nothing is lost or seen twice
  // The bookmark that ends the initial state (k8s.io/initial-events-end).
  bool initial_events_end = false;
};

struct WatchOptions {
  std::string ns = {};
  LabelSelector labels = {};
  FieldSelector fields = {};
  // Only events after this revision: Expired when history no longer reaches back to it,
  // FutureRevisionError when it was not given out yet (AwaitRevision first). 0: first an ADDED for
  // every object there is, then live.
  Revision after = 0;
  // With after == 0: a kBookmark marked initial_events_end stands behind the initial state.
  bool initial_events_end = false;
  std::size_t queue_events_max = kWatchQueueEvents;
};

// One reader's stream of events, in the order of revisions, each exactly once. Destroying it
// unsubscribes. Next, TryNext and SentThrough belong to one reader thread at a time; Close may come
// from anywhere.
class Watch {
 public:
  virtual ~Watch() = default;

  // An eventfd, level-triggered for poll(): readable while TryNext would give an event or the watch
  // has ended. Never read or close it yourself.
  virtual int event_fd() const = 0;
  // An event, or nothing when there is none now.
  virtual std::optional<WatchEvent> TryNext() = 0;
  // Waits. Nothing: the deadline passed, stop was asked for, or the watch ended (see ended()).
  virtual std::optional<WatchEvent> Next(const std::stop_token& stop, MonotonicTime deadline) = 0;
  // No more events will come: the reader was too slow, or the store is closing. Queued events are
  // still given out first. Watch again after the last revision seen.
  virtual bool ended() const = 0;
  // For bookmarks: every event up to this revision has been taken from this watch. 0: events are
  // waiting, send them first.
  virtual Revision SentThrough() = 0;
  // Ends it early.
  virtual void Close() = 0;
};

struct WriteOptions {
  bool dry_run = false;  // everything is checked and made, nothing is kept; no resourceVersion
};

// Which part of the object an update writes; the rest is taken from the stored one.
enum class Part : std::uint8_t {
  kMain,      // all but status (when the type has the subresource) and system metadata
  kStatus,    // only .status
  kFinalize,  // Namespaces: only spec.finalizers; the last one gone removes a terminating namespace
};

struct UpdateOptions {
  Part part = Part::kMain;
  bool dry_run = false;
};

struct WriteResult {
  ObjectPtr object;      // what is stored now (or would be)
  bool changed = true;   // false: equal to what was stored; no new revision, no event
  bool removed = false;  // the update took the last finalizer of a terminating object
};

// Changes the object that is given to it; false leaves the stored one as it is, an error is passed
// on to the caller. A pure function of the object: it runs again, on the newest state, whenever
// another writer was faster, and what it returned before is forgotten. No lock is held meanwhile.
// The object carries metadata.resourceVersion of the state that was read. An edit that puts another
// revision there asks for exactly that one: Conflict, without another try, when it is not the
// stored one.
using Edit = std::function<Result<bool>(crd::Json& object)>;

enum class Propagation : std::uint8_t {
  kBackground,  // gone at once; the garbage collector takes the dependents
  kForeground,  // waits, by the finalizer foregroundDeletion, until blocking dependents are gone
  kOrphan,      // waits, by the finalizer orphan, until dependents were released
};

struct DeleteOptions {
  std::optional<std::string> uid = {};          // precondition
  std::optional<Revision> revision = {};        // precondition
  std::optional<Propagation> propagation = {};  // default: background
  // Only for an object whose record cannot be read (see Health): takes the record away, whatever it
  // holds. Nothing can be asked of its uid or finalizers.
  bool ignore_unreadable = false;
  bool dry_run = false;
};

struct DeleteResult {
  ObjectPtr object;      // the last state, or the terminating object
  bool removed = false;  // false: finalizers hold it
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Null: there is none. Internal: its record cannot be read (lists and watches leave it out).
  virtual Result<ObjectPtr> Get(const ObjectKey& key) = 0;
  virtual Result<ListResult> List(const GroupResource& resource, const ListOptions& options) = 0;
  virtual Result<std::unique_ptr<Watch>> OpenWatch(const GroupResource& resource,
                                                   const WatchOptions& options) = 0;

  // `ns` comes from the URL; one in the text must be the same. metadata.generateName gives a name.
  virtual Result<WriteResult> Create(const GroupResource& resource, const std::string& ns,
                                     const std::string& text, const WriteOptions& options) = 0;
  // The text's metadata.resourceVersion must be the stored one (Conflict); without one the update
  // is unconditional where Kubernetes allows it (built-ins), else Invalid.
  virtual Result<WriteResult> Update(const ObjectKey& key, const std::string& text,
                                     const UpdateOptions& options) = 0;
  // Reads, changes and writes as one step: the one way to change an object on which others write as
  // well. NotFound when it is absent. Unavailable: it kept changing (kWriteAttemptsMax tries).
  virtual Result<WriteResult> Modify(const ObjectKey& key, const Edit& edit,
                                     const UpdateOptions& options) = 0;
  virtual Result<DeleteResult> Delete(const ObjectKey& key, const DeleteOptions& options) = 0;

  // The newest durable revision; a read that starts after this call sees at least it.
  virtual Result<Revision> CurrentRevision() = 0;
  // Waits up to `patience` until the store is at `revision` (GET and LIST with resourceVersion=N;
  // upstream waits 3 s), else FutureRevisionError.
  virtual Status AwaitRevision(Revision revision, std::chrono::milliseconds patience,
                               const std::stop_token& stop) = 0;

  // Whether writes would become durable now, and everything stored can be read: Unavailable,
  // Internal. May wait for the disk for some seconds.
  virtual Status Health() { return OkStatus(); }

  // The uuid this store got when it was made; the ledger keeps it to tell a replaced store from an
  // empty one.
  virtual std::string Identity() const = 0;

  // Shorthands.
  Result<WriteResult> Create(const GroupResource& resource, const std::string& ns,
                             const std::string& text) {
    return Create(resource, ns, text, WriteOptions{});
  }
  Result<WriteResult> Update(const ObjectKey& key, const std::string& text) {
    return Update(key, text, UpdateOptions{});
  }
  Result<WriteResult> UpdateStatus(const ObjectKey& key, const std::string& text) {
    return Update(key, text, UpdateOptions{.part = Part::kStatus});
  }
  Result<WriteResult> Modify(const ObjectKey& key, const Edit& edit) {
    return Modify(key, edit, UpdateOptions{});
  }
  Result<DeleteResult> Delete(const ObjectKey& key) { return Delete(key, DeleteOptions{}); }
};

// The token with which a client whose snapshot expired may go on at the newest state, after the
// last key it has seen (ListMeta.continue of the 410). BadRequest for garbage.
Result<std::string> InconsistentContinue(const std::string& continue_token);

}  // namespace forkplane::store
