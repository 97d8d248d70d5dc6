// The fork loop: makes the VirtualMachine of each Fork, and the snapshot it comes from when its
// source is a VM. Key: "namespace/name". Its children carry an owner reference; the garbage
// collector takes them when the Fork goes.
//
// NOTE Budget: one API write per Fork of a Snapshot, the child, already bound and with its
// finalizer.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controller/base/clock.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/status_writer.h"
#include "controller/store/object_store.h"
#include "crd/types.h"
#include "reconcilers/fork/desire.h"

namespace forkplane::fork {

struct Deps {
  store::ObjectStore& store;
  runtime::Informer<crd::Fork>& forks;
  runtime::Informer<crd::VirtualMachine>& vms;
  runtime::Informer<crd::Snapshot>& snapshots;
  runtime::Informer<crd::Network>& networks;
  runtime::StatusWriter& statuses;
  runtime::EventRecorder& events;
  Clock& clock;
  std::string host_name;
};

class ForkReconciler final : public runtime::Reconciler {
 public:
  explicit ForkReconciler(Deps deps) : deps_(std::move(deps)) {}

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informers start.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  Scene Observe(const std::shared_ptr<const crd::Fork>& fork) const;
  Status Do(const Scene& scene, const Action& action);
  void Say(const Scene& scene);
  runtime::Next NextLook(const Scene& scene, Waiting waiting) const;

  Deps deps_;
};

crd::ForkStatus BuildStatus(const Scene& scene);

}  // namespace forkplane::fork
