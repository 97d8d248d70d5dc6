// The restore_slot loop: keeps each pool's total as the Host wants it, and grants what is free.
// Key: the hypervisor's name.
//
// NOTE The ledger itself grants the next one whenever a slot is given back; this loop is there for
// changes of the total and as the net under it.
// NOTE Metrics: forkplane_restore_slots{pool,state} with state total, granted, waiting;
// forkplane_restore_slot_wait_seconds{pool}, how long the first in the queue has waited.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/reconciler.h"
#include "crd/host.h"
#include "drivers/vmm/hypervisor.h"
#include "reconcilers/restore_slot/plan.h"

namespace forkplane::restore_slot {

struct Deps {
  ledger::Ledger& ledger;
  runtime::Informer<crd::Host>& hosts;
  std::vector<const vmm::Hypervisor*> hypervisors;
  Clock& clock;
  metrics::Registry& registry;
  std::string host_name;
};

class RestoreSlotReconciler final : public runtime::Reconciler {
 public:
  explicit RestoreSlotReconciler(Deps deps);

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informers start. Enqueues every pool once, too.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  struct Gauges {
    metrics::Gauge total;
    metrics::Gauge granted;
    metrics::Gauge waiting;
    metrics::Gauge wait_seconds;
  };

  // Nothing: this host has no such hypervisor.
  std::optional<Desired> Desire(const std::string& pool) const;
  ledger::PoolState Observe(const std::string& pool) const;
  void Show(const ledger::PoolState& state);

  Deps deps_;
  std::map<std::string, Gauges> gauges_;  // filled by the constructor, then only read
  std::shared_ptr<void> subscription_;
};

}  // namespace forkplane::restore_slot
