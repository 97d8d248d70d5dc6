// The scheduler loop: binds each VirtualMachine that names no host to one, and reports those that
// name a host that does not exist, and those whose host takes no machines. It also completes the
// spec of a VM that is restored and names no interfaces. Key: "namespace/name". A Fork's VM is
// bound by its creation.
//
// NOTE Status: the virtual_machine loop of its host writes the status of a bound VM. This loop
// writes it only where no host does.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "controller/base/clock.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/status_writer.h"
#include "controller/store/object_store.h"
#include "crd/host.h"
#include "crd/snapshot.h"
#include "crd/virtual_machine.h"
#include "reconcilers/scheduler/plan.h"

namespace forkplane::scheduler {

struct Deps {
  store::ObjectStore& store;
  runtime::Informer<crd::VirtualMachine>& vms;
  runtime::Informer<crd::Snapshot>& snapshots;
  runtime::Informer<crd::Host>& hosts;
  runtime::StatusWriter& statuses;
  Clock& clock;
  std::string host_name;
};

class SchedulerReconciler final : public runtime::Reconciler {
 public:
  explicit SchedulerReconciler(Deps deps) : deps_(std::move(deps)) {}

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informers start.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  // What one pass over a VM reads, and what the plan needs of it.
  struct Context {
    std::shared_ptr<const crd::VirtualMachine> vm;
    std::shared_ptr<const crd::Snapshot> snapshot;  // of restoreFrom, or null
    std::shared_ptr<const crd::Host> host;          // null: not there (yet)
    Observed observed;
  };
  Context Observe(const std::shared_ptr<const crd::VirtualMachine>& vm) const;
  Status Do(const Context& context, const Bind& bind);
  Status Do(const Context& context, const WriteInterfaces& action);
  void ReportNoHost(const Context& context);
  void ReportClosed(const Context& context);

  Deps deps_;
};

}  // namespace forkplane::scheduler
