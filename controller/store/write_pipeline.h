// The way of a write to the disk: staged one after another in memory, committed many at a time.
//
// A writer prepares its change against the newest state of the object, staged or committed, without
// a lock; Stage accepts it only if that state is still the newest. Staged writes get their
// revisions at once and wait; the commit thread takes all there are, gives them to the log in one
// transaction, shows them to readers and watches, and wakes the writers. While it waits for the
// disk, the next ones gather: that is the group commit.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/store/object_table.h"
#include "controller/store/revision_log.h"
#include "controller/store/watch_hub.h"

namespace forkplane::store {

struct ProposedWrite {
  ObjectKey key;
  ObjectPtr base;  // what it was prepared against; null: nothing was there
  ObjectPtr
      state;  // the new state without a revision (see BuildObject); of a deletion the last one
  bool deleted = false;
  bool needs_namespace = false;  // a namespaced object is created: its namespace must be there
  // The uid of the definition whose instance is created, which must be there and not terminating
  // (crd::ResourceType::definition_uid and crd_name). "": none is asked for.
  std::string definition_uid = {};
  std::string definition = {};
  // A definition is removed: nothing of this resource may be there, or it would come back with the
  // next definition of that name.
  std::optional<GroupResource> must_be_empty = {};
};

// NOTE Threading: thread-safe. The lock is never held across the disk.
// NOTE Errors: when a commit fails, every write staged until then fails with it (they were prepared
// against states that do not exist now), and the pipeline goes on.
// NOTE Monitoring: forkplane_store_commit_duration_seconds, forkplane_store_commits_total{code},
// forkplane_store_writes_total, forkplane_store_objects, forkplane_store_revision.
class WritePipeline {
 public:
  WritePipeline(RevisionLog& log, ObjectTable& table, WatchHub& hub, Clock& clock,
                metrics::Registry& registry);
  ~WritePipeline();
  WritePipeline(const WritePipeline&) = delete;
  WritePipeline& operator=(const WritePipeline&) = delete;

  // The newest state, perhaps not durable yet. Null: absent.
  ObjectPtr Latest(const ObjectKey& key) const EXCLUDES(mu_);

  // Returns when durable, with the stored state. Nothing: the base is no longer the newest; prepare
  // again. NotFound, Forbidden: the namespace. Unavailable: closing, full, or the disk refused.
  Result<std::optional<ObjectPtr>> Write(const ProposedWrite& write) EXCLUDES(mu_);

  // Whether what it asks of others holds now. NotFound, Forbidden: the namespace. NotFound, Invalid
  // with reason MethodNotAllowed: the definition. Conflict: objects are there.
  Status CheckOthers(const ProposedWrite& write) const EXCLUDES(mu_);

  // Whether a write would become durable now: the outcome of the last one, or after a failure and
  // when it is older than kProbeAfter that of a probe, for which it waits up to kProbePatience.
  Status Health() EXCLUDES(mu_);

  // Waits until what is staged for this key now is durable or has failed.
  void AwaitSettled(const ObjectKey& key) EXCLUDES(mu_);

  // Commits what is staged, then refuses. Final.
  void Close() EXCLUDES(mu_);

 private:
  // Writers that share one commit wait here.
  class Batch {
   public:
    Status Wait() EXCLUDES(mu_);
    void Settle(const Status& status) EXCLUDES(mu_);

   private:
    Mutex mu_;
    CondVar settled_;
    std::optional<Status> status_ GUARDED_BY(mu_);
  };
  struct Staged {
    ObjectPtr state;  // null: deleted
    Revision revision = 0;
    std::shared_ptr<Batch> batch;
  };
  struct Accepted {
    ObjectPtr state;
    std::shared_ptr<Batch> batch;
  };

  Result<std::optional<Accepted>> Stage(const ProposedWrite& write) EXCLUDES(mu_);
  ObjectPtr LatestLocked(const ObjectKey& key) const REQUIRES(mu_);
  Status CheckOthersLocked(const ProposedWrite& write) const REQUIRES(mu_);
  Status CheckNamespaceLocked(const ObjectKey& key) const REQUIRES(mu_);
  Status CheckDefinitionLocked(const ProposedWrite& write) const REQUIRES(mu_);
  Status CheckEmptyLocked(const ObjectKey& definition, const GroupResource& resource) const
      REQUIRES(mu_);

  void Run(const std::stop_token& stop);
  Status CommitOne(std::vector<Change> changes);
  void Forget(const std::vector<ObjectKey>& keys, Revision through) EXCLUDES(mu_);
  void FailEverything(const Status& status, const std::shared_ptr<Batch>& batch) EXCLUDES(mu_);
  void CompactIfDue();
  void Commit(std::vector<Change> changes, const std::shared_ptr<Batch>& batch);
  void ProbeLog() EXCLUDES(mu_);
  void Remember(const Status& outcome) EXCLUDES(mu_);

  RevisionLog& log_;
  ObjectTable& table_;
  WatchHub& hub_;
  Clock& clock_;
  metrics::Histogram commit_duration_;
  metrics::Counter commits_ok_;
  metrics::Counter commits_failed_;
  metrics::Counter writes_;
  metrics::Gauge objects_;
  metrics::Gauge revision_;

  mutable Mutex mu_;
  CondVar wake_;
  std::map<ObjectKey, Staged> staged_ GUARDED_BY(mu_);  // newest not yet durable state
  std::vector<Change> queue_ GUARDED_BY(mu_);           // by revision
  std::shared_ptr<Batch> open_batch_ GUARDED_BY(mu_);   // of what is in queue_
  Revision last_ GUARDED_BY(mu_);                       // the highest revision given out
  bool closed_ GUARDED_BY(mu_) = false;
  Status outcome_ GUARDED_BY(mu_) = OkStatus();  // of the last commit or probe
  std::optional<MonotonicTime> asked_at_ GUARDED_BY(mu_);
  bool probe_wanted_ GUARDED_BY(mu_) = false;
  CondVar probed_;
  std::jthread thread_;
};

}  // namespace forkplane::store
