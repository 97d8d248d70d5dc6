#include "controller/store/write_pipeline.h"

#include "controller/base/log.h"
#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "controller/store/semantics.h"

namespace forkplane::store {
namespace {

Revision RevisionOf(const ObjectPtr& object) { return object ? object->meta.revision : 0; }

}  // namespace

Status WritePipeline::Batch::Wait() {
  MutexLock lock(mu_);
  settled_.Wait(mu_, std::stop_token{},
                [this]() NO_THREAD_SAFETY_ANALYSIS { return status_.has_value(); });
  return *status_;
}

void WritePipeline::Batch::Settle(const Status& status) {
  MutexLock lock(mu_);
  status_ = status;
  settled_.NotifyAll();
}

WritePipeline::WritePipeline(RevisionLog& log, ObjectTable& table, WatchHub& hub, Clock& clock,
                             metrics::Registry& registry)
    : log_(log),
      table_(table),
      hub_(hub),
      clock_(clock),
      commit_duration_(registry.AddHistogram("forkplane_store_commit_duration_seconds",
                                             "Time of one durable commit of the object store.")),
      commits_ok_(registry.AddCounter("forkplane_store_commits_total",
                                      "Commits of the object store.", {{"code", "ok"}})),
      commits_failed_(registry.AddCounter("forkplane_store_commits_total",
                                          "Commits of the object store.", {{"code", "failed"}})),
      writes_(registry.AddCounter("forkplane_store_writes_total",
                                  "Object states made durable; several share a commit.")),
      objects_(registry.AddGauge("forkplane_store_objects", "Objects in the store.")),
      revision_(registry.AddGauge("forkplane_store_revision", "Newest durable revision.")),
      open_batch_(std::make_shared<Batch>()),
      last_(log.last_revision()) {
  objects_.Set(static_cast<double>(table_.size()));
  revision_.Set(static_cast<double>(last_));
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

WritePipeline::~WritePipeline() { Close(); }

void WritePipeline::Close() {
  {
    MutexLock lock(mu_);
    closed_ = true;
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

ObjectPtr WritePipeline::LatestLocked(const ObjectKey& key) const {
  const auto it = staged_.find(key);
  return it != staged_.end() ? it->second.state : table_.Get(key);
}

ObjectPtr WritePipeline::Latest(const ObjectKey& key) const {
  MutexLock lock(mu_);
  return LatestLocked(key);
}

Status WritePipeline::CheckNamespaceLocked(const ObjectKey& key) const {
  const ObjectPtr ns = LatestLocked({NamespaceResource(), {}, key.ns});
  if (!ns) return NotFoundError(NamespaceResource(), key.ns);
  if (!ns->meta.terminating()) return OkStatus();
  const std::string why = fmt::format(
      "unable to create new content in namespace {} because it is being terminated", key.ns);
  Error error = ForbiddenError(key.resource, key.name, why);
  error.causes.push_back(Cause{"NamespaceTerminating", "metadata.namespace",
                               fmt::format("namespace {} is being terminated", key.ns)});
  return error;
}

Status WritePipeline::CheckDefinitionLocked(const ProposedWrite& write) const {
  const ObjectPtr found = LatestLocked({DefinitionResource(), {}, write.definition});
  if (!found || found->meta.uid != write.definition_uid) {
    return NotFound("the server could not find the requested resource");
  }
  if (!found->meta.terminating()) return OkStatus();
  return WithReason(Invalid("create not allowed while custom resource definition is terminating"),
                    "MethodNotAllowed");
}

// What is staged counts: its writers may be told so before this one is.
Status WritePipeline::CheckEmptyLocked(const ObjectKey& definition,
                                       const GroupResource& resource) const {
  std::size_t left = table_.CountOf(resource);
  for (auto it = staged_.lower_bound({resource, {}, {}});
       it != staged_.end() && it->first.resource == resource; ++it) {
    const bool stored = table_.Get(it->first) != nullptr;
    if (it->second.state && !stored) ++left;
    if (!it->second.state && stored) --left;
  }
  if (left == 0) return OkStatus();
  return ConflictError(definition.resource, definition.name,
                       fmt::format("{} objects of it are still there and go first", left));
}

Status WritePipeline::CheckOthersLocked(const ProposedWrite& write) const {
  if (write.needs_namespace) RETURN_IF_ERROR(CheckNamespaceLocked(write.key));
  if (!write.definition_uid.empty()) RETURN_IF_ERROR(CheckDefinitionLocked(write));
  if (write.must_be_empty) return CheckEmptyLocked(write.key, *write.must_be_empty);
  return OkStatus();
}

Status WritePipeline::CheckOthers(const ProposedWrite& write) const {
  MutexLock lock(mu_);
  return CheckOthersLocked(write);
}

Result<std::optional<WritePipeline::Accepted>> WritePipeline::Stage(const ProposedWrite& write) {
  MutexLock lock(mu_);
  if (closed_) return Unavailable("the store is closing");
  if (queue_.size() >= kQueuedWritesMax) return Unavailable("too many writes wait for the disk");
  ObjectPtr before = LatestLocked(write.key);
  if (RevisionOf(before) != RevisionOf(write.base)) return std::optional<Accepted>();
  RETURN_IF_ERROR(CheckOthersLocked(write));
  const Revision revision = ++last_;
  Change change{.revision = revision,
                .key = write.key,
                .before = std::move(before),
                .state = AtRevision(*write.state, revision),
                .deleted = write.deleted};
  staged_[write.key] = {change.after(), revision, open_batch_};
  Accepted accepted{change.state, open_batch_};
  queue_.push_back(std::move(change));
  wake_.NotifyOne();
  return std::optional<Accepted>(std::move(accepted));
}

Result<std::optional<ObjectPtr>> WritePipeline::Write(const ProposedWrite& write) {
  ASSIGN_OR_RETURN(std::optional<Accepted> accepted, Stage(write));
  if (!accepted) return std::optional<ObjectPtr>();
  RETURN_IF_ERROR(accepted->batch->Wait());
  return std::optional<ObjectPtr>(std::move(accepted->state));
}

void WritePipeline::AwaitSettled(const ObjectKey& key) {
  std::shared_ptr<Batch> batch;
  {
    MutexLock lock(mu_);
    const auto it = staged_.find(key);
    if (it == staged_.end()) return;
    batch = it->second.batch;
  }
  // Whether it failed matters only to its own writer.
  const Status settled = batch->Wait();
  if (!settled.ok()) log::Debug("waited for a commit that failed", {{"err", settled.error()}});
}

Status WritePipeline::Health() {
  MutexLock lock(mu_);
  if (closed_) return Unavailable("the store is closing");
  const MonotonicTime now = clock_.Now();
  if (outcome_.ok() && asked_at_ && now - *asked_at_ < kProbeAfter) return OkStatus();
  probe_wanted_ = true;
  wake_.NotifyOne();
  // A wait on a condition variable: real time, whatever clock the store was given.
  const bool answered =
      probed_.WaitUntil(mu_, std::stop_token{}, RealClock().Now() + kProbePatience,
                        [this]() NO_THREAD_SAFETY_ANALYSIS { return !probe_wanted_; });
  if (!answered) return Unavailable("the disk of the store does not answer");
  return outcome_;
}

void WritePipeline::Remember(const Status& outcome) {
  MutexLock lock(mu_);
  outcome_ = outcome;
  asked_at_ = clock_.Now();
  probe_wanted_ = false;
  probed_.NotifyAll();
}

void WritePipeline::ProbeLog() {
  const Status probed = log_.Probe();
  if (!probed.ok()) log::Err("the store cannot write", {{"err", probed.error()}});
  Remember(probed);
}

void WritePipeline::Run(const std::stop_token& stop) {
  while (true) {
    std::vector<Change> changes;
    std::shared_ptr<Batch> batch;
    bool probe = false;
    {
      MutexLock lock(mu_);
      // A stop does not end it while something is staged: its writers wait.
      const bool work = wake_.Wait(mu_, stop, [this]() NO_THREAD_SAFETY_ANALYSIS {
        return !queue_.empty() || probe_wanted_;
      });
      if (!work) return;
      probe = probe_wanted_;
      changes.swap(queue_);
      batch = std::exchange(open_batch_, std::make_shared<Batch>());
    }
    if (!changes.empty()) Commit(std::move(changes), batch);
    // Also behind a commit: one that went well does not ask for the free bytes.
    if (probe) ProbeLog();
  }
}

void WritePipeline::Commit(std::vector<Change> changes, const std::shared_ptr<Batch>& batch) {
  std::vector<ObjectKey> keys;
  keys.reserve(changes.size());
  for (const Change& change : changes) keys.push_back(change.key);
  const Revision through = changes.back().revision;
  const Status status = CommitOne(std::move(changes));
  Remember(status);
  if (!status.ok()) {
    FailEverything(status, batch);
    return;
  }
  Forget(keys, through);
  batch->Settle(status);
  CompactIfDue();
}

Status WritePipeline::CommitOne(std::vector<Change> changes) {
  std::vector<LogRecord> records;
  records.reserve(changes.size());
  for (const Change& change : changes) {
    records.push_back({.revision = change.revision,
                       .previous = RevisionOf(change.before),
                       .key = change.key,
                       .deleted = change.deleted,
                       .text = change.state->text});
  }
  const MonotonicTime start = clock_.Now();
  RETURN_IF_ERROR(log_.Append(records));
  commit_duration_.Observe(std::chrono::duration<double>(clock_.Now() - start).count());
  hub_.Publish(changes);
  commits_ok_.Increment();
  writes_.Increment(static_cast<double>(changes.size()));
  objects_.Set(static_cast<double>(table_.size()));
  revision_.Set(static_cast<double>(changes.back().revision));
  return OkStatus();
}

// The table has them now; what was staged on top of them stays.
void WritePipeline::Forget(const std::vector<ObjectKey>& keys, Revision through) {
  MutexLock lock(mu_);
  for (const ObjectKey& key : keys) {
    const auto it = staged_.find(key);
    if (it != staged_.end() && it->second.revision <= through) staged_.erase(it);
  }
}

void WritePipeline::FailEverything(const Status& status, const std::shared_ptr<Batch>& batch) {
  commits_failed_.Increment();
  log::Err("store commit failed", {{"err", status.error()}});
  std::shared_ptr<Batch> later;
  {
    MutexLock lock(mu_);
    staged_.clear();
    queue_.clear();
    later = std::exchange(open_batch_, std::make_shared<Batch>());
  }
  batch->Settle(status);
  later->Settle(status);
}

void WritePipeline::CompactIfDue() {
  const Revision floor = table_.floor();
  const Revision compacted = log_.compacted();
  if (floor < compacted + kCompactLag) return;
  const Status done = log_.Compact(floor);
  if (!done.ok()) log::Warn("store compaction failed", {{"err", done.error()}});
}

}  // namespace forkplane::store
