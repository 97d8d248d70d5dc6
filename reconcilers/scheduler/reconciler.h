// The scheduler loop: binds each VirtualMachine that names no host to one, and tells of those that
// name a host there is none of. Key: "namespace/name". A Fork's VM is bound by its creation.
//
// NOTE Status: that of a bound VM belongs to its host's virtual_machine loop. This one writes only
// where no host does.
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
#include "crd/virtual_machine.h"
#include "reconcilers/scheduler/plan.h"

namespace forkplane::scheduler {

struct Deps {
  store::ObjectStore& store;
  runtime::Informer<crd::VirtualMachine>& vms;
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
  Status Do(const crd::VirtualMachine& vm, const Bind& bind);
  void SayNoHost(const crd::VirtualMachine& vm);

  Deps deps_;
};

}  // namespace forkplane::scheduler
