// The snapshot_alias loop: says of every restored VM how its snapshot's paths find their files.
// Key: the VM's uid.
//
// NOTE Metrics: forkplane_snapshot_alias_total{strategy,reason}, one per VM and daemon.
#pragma once

#include <functional>
#include <string>

#include "controller/base/metrics.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/reconciler.h"
#include "crd/virtual_machine.h"
#include "reconcilers/snapshot_alias/plan.h"

namespace forkplane::snapshot_alias {

class SnapshotAliasReconciler final : public runtime::Reconciler {
 public:
  SnapshotAliasReconciler(runtime::Informer<crd::VirtualMachine>& vms,
                          runtime::AliasFactBoard& facts, metrics::Registry& registry);

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informer starts.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  Desired Desire(const std::string& uid) const;

  runtime::Informer<crd::VirtualMachine>& vms_;
  runtime::AliasFactBoard& facts_;
  metrics::Counter none_;
};

}  // namespace forkplane::snapshot_alias
