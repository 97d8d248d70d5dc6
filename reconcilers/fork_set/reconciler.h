// The fork_set loop: keeps N Forks of one source. Key: "namespace/name".
//
// NOTE Expectations: after a write the next pass waits until the cache of Forks has seen that
// write's revision, so a stale cache never makes one twice or deletes one too many.
// NOTE Bursts: the writes of a pass are made some at once, so that they share the store's commits.
// Each result is looked at; what failed is missing in the next pass and made then.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/mutex.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/last_reported.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/status_writer.h"
#include "controller/store/object_store.h"
#include "crd/types.h"
#include "reconcilers/fork_set/desire.h"

namespace forkplane::fork_set {

struct Deps {
  store::ObjectStore& store;
  runtime::Informer<crd::ForkSet>& fork_sets;
  runtime::Informer<crd::Fork>& forks;
  runtime::Informer<crd::VirtualMachine>& vms;
  runtime::Informer<crd::Snapshot>& snapshots;
  runtime::StatusWriter& statuses;
  runtime::EventRecorder& events;
  Clock& clock;
  // Writes under way in one pass; 1: on the worker's own thread.
  std::size_t writes_at_once = 1;
};

class ForkSetReconciler final : public runtime::Reconciler {
 public:
  explicit ForkSetReconciler(const Deps& deps) : deps_(deps) {}

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informers start.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  Context Observe(const std::shared_ptr<const crd::ForkSet>& set);
  Status Execute(const Context& context, const std::vector<Action>& actions,
                 const std::stop_token& stop);
  Status Do(const Context& context, const Action& action);
  Status Update(const crd::ForkSet& set, std::int64_t ordinal);
  // This daemon's newest write for the set.
  void Expect(const std::string& uid, store::Revision revision) EXCLUDES(mu_);
  bool CacheBehind(const std::string& uid) EXCLUDES(mu_);
  void WriteStatus(const Context& context);
  void RecordEvent(const Context& context, runtime::EventType type, const std::string& reason,
                   const std::string& message);
  void RecordObstacle(const Context& context);
  void RecordScaling(const Context& context, const std::vector<Action>& actions);

  Deps deps_;
  runtime::LastReported last_reported_;
  Mutex mu_;
  std::map<std::string, store::Revision> expected_ GUARDED_BY(mu_);  // by the set's uid
};

}  // namespace forkplane::fork_set
