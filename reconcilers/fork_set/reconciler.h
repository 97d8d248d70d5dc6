// The fork_set loop: keeps N Forks of one source. Key: "namespace/name".
//
// NOTE Expectations: after a write the next pass waits until the cache of Forks has seen that
// write's revision, so a stale cache never makes one twice or deletes one too many.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/mutex.h"
#include "controller/runtime/informer.h"
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
  Clock& clock;
};

class ForkSetReconciler final : public runtime::Reconciler {
 public:
  explicit ForkSetReconciler(Deps deps) : deps_(std::move(deps)) {}

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informers start.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  Scene Observe(const std::shared_ptr<const crd::ForkSet>& set);
  Status Do(const Scene& scene, const Action& action);
  // This daemon's newest write for the set.
  void Expect(const std::string& uid, store::Revision revision) EXCLUDES(mu_);
  bool CacheBehind(const std::string& uid) EXCLUDES(mu_);
  void Say(const Scene& scene);

  Deps deps_;
  Mutex mu_;
  std::map<std::string, store::Revision> expected_ GUARDED_BY(mu_);  // by the set's uid
};

}  // namespace forkplane::fork_set
