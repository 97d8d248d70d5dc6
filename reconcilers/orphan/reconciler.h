// The orphan loop: holds VMs that the ledger has and the store has not. Key: the host's name.
//
// NOTE Metrics: forkplane_orphans_held.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/reconciler.h"
#include "crd/host.h"
#include "crd/virtual_machine.h"
#include "reconcilers/orphan/plan.h"

namespace forkplane::orphan {

struct Deps {
  ledger::Ledger& ledger;
  runtime::Informer<crd::VirtualMachine>& vms;
  runtime::Informer<crd::Host>& hosts;
  runtime::OrphanFactBoard& facts;
  runtime::EventRecorder& events;
  metrics::Registry& registry;
  std::string host_name;
};

class OrphanReconciler final : public runtime::Reconciler {
 public:
  explicit OrphanReconciler(Deps deps);

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informer starts.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  Observed Observe() EXCLUDES(mu_);
  void Do(const Action& action) EXCLUDES(mu_);
  void WriteEvent(const RecordEvent& event);

  Deps deps_;
  metrics::Gauge held_;
  Mutex mu_;
  std::set<std::string> recorded_ GUARDED_BY(mu_);
  std::shared_ptr<void> subscription_;
};

}  // namespace forkplane::orphan
