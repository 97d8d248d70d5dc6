// The fork loop: makes the VirtualMachine of each Fork, and the snapshot it comes from when its
// source is a VM. Key: "namespace/name". Its children carry an owner reference; the garbage
// collector takes them when the Fork goes.
//
// NOTE Budget: one API write per Fork of a Snapshot, the child, already bound and with its
// finalizer. An edit of the template is one more.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/mutex.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/last_reported.h"
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
  runtime::Informer<crd::Host>& hosts;
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
  Context Observe(const std::shared_ptr<const crd::Fork>& fork);
  // How long its snapshot took, as far as this daemon has seen it.
  std::optional<std::int64_t> MeasureCapture(const Context& context) EXCLUDES(mu_);
  Status Update(const Context& context);
  Status Do(const Context& context, const Action& action);
  void WriteStatus(const Context& context);
  void RecordObstacle(const Context& context);
  Error Fail(Context& context, const Error& error);
  runtime::Next NextLook(const Context& context, Waiting waiting) const;

  // The capture for a Fork whose source is a VM, timed from the Fork's first pass.
  struct Capture {
    MonotonicTime begun{};
    std::optional<std::int64_t> milliseconds = {};
  };

  Deps deps_;
  runtime::LastReported last_reported_;
  Mutex mu_;
  std::map<std::string, Capture> captures_ GUARDED_BY(mu_);  // by the Fork's uid
};

crd::ForkStatus BuildStatus(const Context& context);

}  // namespace forkplane::fork
