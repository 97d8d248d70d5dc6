// The embedded object store: Kubernetes' object semantics over a revision log.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/rng.h"
#include "controller/store/admission.h"
#include "controller/store/object_store.h"
#include "controller/store/object_table.h"
#include "controller/store/revision_log.h"
#include "controller/store/watch_hub.h"
#include "controller/store/write_pipeline.h"
#include "crd/type_registry.h"

namespace forkplane::store {

// NOTE Semantics: uid, creationTimestamp, generation, generateName, defaults, pruning, validation
// (through the type registry, in the version the text names), status apart from the rest,
// finalizers and deletionTimestamp, preconditions, dry run, no revision for a write that changes
// nothing, namespaces that must exist and not be terminating. What it does not do: garbage
// collection, emptying namespaces, managedFields; loops above do those.
// NOTE Lifecycle: Open reads the whole log. Close (or the destructor) commits what is staged, ends
// all watches and refuses writes; reads go on. Watches may outlive the store.
class LocalObjectStore final : public ObjectStore {
 public:
  struct Options {
    const crd::TypeRegistry* types = nullptr;  // outlives the store
    AdmissionGate* gate = nullptr;             // null: everything is admitted
  };

  // A record that cannot be read does not keep the store from opening: its object is unreadable
  // (see Object), Health tells of it, and so do the log and forkplane_store_unreadable_records.
  static Result<std::unique_ptr<LocalObjectStore>> Open(std::unique_ptr<RevisionLog> log,
                                                        Options options, Clock& clock, Rng& rng,
                                                        metrics::Registry& registry);
  ~LocalObjectStore() override;
  LocalObjectStore(const LocalObjectStore&) = delete;
  LocalObjectStore& operator=(const LocalObjectStore&) = delete;

  using ObjectStore::Create;
  using ObjectStore::Delete;
  using ObjectStore::Modify;
  using ObjectStore::Update;

  Result<ObjectPtr> Get(const ObjectKey& key) override;
  Result<ListResult> List(const GroupResource& resource, const ListOptions& options) override;
  Result<std::unique_ptr<Watch>> OpenWatch(const GroupResource& resource,
                                           const WatchOptions& options) override;
  Result<WriteResult> Create(const GroupResource& resource, const std::string& ns,
                             const std::string& text, const WriteOptions& options) override;
  Result<WriteResult> Update(const ObjectKey& key, const std::string& text,
                             const UpdateOptions& options) override;
  Result<WriteResult> Modify(const ObjectKey& key, const Edit& edit,
                             const UpdateOptions& options) override;
  Result<DeleteResult> Delete(const ObjectKey& key, const DeleteOptions& options) override;
  Result<Revision> CurrentRevision() override { return table_.revision(); }
  Status AwaitRevision(Revision revision, std::chrono::milliseconds patience,
                       const std::stop_token& stop) override;
  Status Health() override;
  std::string Identity() const override { return log_->identity(); }

  // For a timer: history is else forgotten only when something is written.
  void ForgetOldHistory() { table_.ForgetOldHistory(); }
  void Close();

 private:
  struct Change;  // one prepared write on its way

  LocalObjectStore(std::unique_ptr<RevisionLog> log, Options options, Clock& clock, Rng& rng,
                   metrics::Registry& registry);
  Status Load();
  Status LoadRecord(LogRecord record, std::map<ObjectKey, std::string>& unreadable);
  ObjectPtr Read(const LogRecord& record) const;
  void CountUnreadable(int by);
  void StartWriting(metrics::Registry& registry);

  Result<crd::ResourceTypePtr> StoredType(const GroupResource& resource) const;
  Result<crd::ResourceTypePtr> TypeOf(const GroupResource& resource, const crd::Json& body) const;
  Result<Filter> FilterFor(const GroupResource& resource, const std::string& ns,
                           const LabelSelector& labels, const FieldSelector& fields) const;

  // Each of these returns nothing when the object moved meanwhile: try again.
  Result<std::optional<WriteResult>> TryCreate(const crd::ResourceType& type, const crd::Json& body,
                                               const std::string& ns, bool dry_run);
  Result<std::optional<WriteResult>> TryUpdate(const crd::ResourceType& type, const ObjectKey& key,
                                               const crd::Json& body, const UpdateOptions& options);
  Result<std::optional<WriteResult>> TryModify(const crd::ResourceType& stored,
                                               const ObjectKey& key, const Edit& edit,
                                               const UpdateOptions& options);
  Result<std::optional<DeleteResult>> TryDelete(const crd::ResourceType& type, const ObjectKey& key,
                                                const DeleteOptions& options);
  // What both of them end in. `live` is the JSON of `base`, `body` the object as it shall be.
  Result<std::optional<WriteResult>> CommitUpdate(const crd::ResourceType& type,
                                                  const ObjectKey& key, const ObjectPtr& base,
                                                  const crd::Json& live, crd::Json body,
                                                  const UpdateOptions& options);
  std::optional<WriteResult> Unchanged(const ObjectKey& key, const ObjectPtr& base);
  Result<std::optional<DeleteResult>> TakeAwayUnreadable(const ObjectKey& key,
                                                         const ObjectPtr& base,
                                                         const DeleteOptions& options);
  Result<std::optional<ObjectPtr>> AdmitAndWrite(const Change& change);
  Error Settled(const ObjectKey& key, Error error);
  bool StillLatest(const ObjectKey& key, const ObjectPtr& base);

  std::unique_ptr<RevisionLog> log_;
  Options options_;
  Clock& clock_;
  Rng& rng_;
  ObjectTable table_;
  metrics::Gauge unreadable_;
  std::atomic<int> unreadable_count_ = 0;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<WritePipeline> pipeline_;
};

}  // namespace forkplane::store
