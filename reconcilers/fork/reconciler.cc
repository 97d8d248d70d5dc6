#include "reconcilers/fork/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/edit_typed.h"
#include "controller/runtime/plan_text.h"
#include "controller/runtime/typed_object.h"
#include "crd/json.h"

namespace forkplane::fork {
namespace {

using runtime::Next;
using std::chrono::seconds;

constexpr seconds kRetry{5};  // for changes that no informer reports

// An object that exists already is the one this loop made and its cache has not seen yet, or a
// stranger's; the next observation tells which.
template <typename T>
Status Create(store::ObjectStore& store, const T& object) {
  const Result<store::WriteResult> made =
      store.Create(runtime::ResourceOf<T>(), object.metadata.ns, object.ToText());
  if (made.ok() || made.error().code == Code::kExists) return OkStatus();
  Error error = made.error();
  return std::move(error).WithContext(
      fmt::format("create {} \"{}\"", T::kKind, object.metadata.name));
}

}  // namespace

Context ForkReconciler::Observe(const std::shared_ptr<const crd::Fork>& fork) {
  const std::string& ns = fork->metadata.ns;
  Context context;
  context.host_name = deps_.host_name;
  context.fork = fork;
  context.snapshot = deps_.snapshots.Get(store::NamespacedName(ns, SnapshotName(*fork)));
  context.vm = deps_.vms.Get(store::NamespacedName(ns, VmName(*fork)));
  if (fork->spec.source.kind == crd::ForkSourceKind::kVirtualMachine) {
    context.source_vm = deps_.vms.Get(store::NamespacedName(ns, fork->spec.source.name));
  }
  if (context.snapshot && context.snapshot->status.machine &&
      !context.snapshot->status.machine->interfaces.empty()) {
    context.network =
        deps_.networks.Get(context.snapshot->status.machine->interfaces.front().network);
  }
  context.host = deps_.hosts.Get(deps_.host_name);
  Judge(context, deps_.clock.WallNow());
  context.capture_milliseconds = MeasureCapture(context);
  return context;
}

std::optional<std::int64_t> ForkReconciler::MeasureCapture(const Context& context) {
  const crd::Fork& fork = *context.fork;
  if (!context.observed.takes_snapshot) return std::nullopt;
  if (fork.status.timings && fork.status.timings->capture) return fork.status.timings->capture;
  const MonotonicTime now = deps_.clock.Now();
  MutexLock lock(mu_);
  // A capture that an earlier daemon began was not timed.
  const bool fresh = !context.observed.vm && !context.observed.snapshot_ready;
  if (fresh) captures_.try_emplace(fork.metadata.uid, Capture{now});
  const auto found = captures_.find(fork.metadata.uid);
  if (found == captures_.end()) return std::nullopt;
  Capture& capture = found->second;
  if (context.observed.snapshot_ready && !capture.milliseconds) {
    capture.milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - capture.begun).count();
  }
  return capture.milliseconds;
}

Status ForkReconciler::Update(const Context& context) {
  const crd::VirtualMachine& vm = *context.vm;
  return runtime::EditTyped<crd::VirtualMachine>(deps_.store, runtime::KeyOf(vm), vm.metadata.uid,
                                                 [&context](crd::VirtualMachine& stored) {
                                                   UpdateFromTemplate(context, stored);
                                                   return true;
                                                 });
}

Status ForkReconciler::Do(const Context& context, const Action& action) {
  const crd::Fork& fork = *context.fork;
  if (std::holds_alternative<CreateSnapshot>(action)) {
    return Create(deps_.store, MakeSnapshot(fork));
  }
  if (std::holds_alternative<CreateVm>(action)) {
    return Create(deps_.store, MakeVm(context));
  }
  if (std::holds_alternative<UpdateVm>(action)) return Update(context);
  deps_.events.Record(runtime::ReferenceTo(fork), runtime::EventType::kNormal, "Expired",
                      "spec.ttl is over: the Fork and its VirtualMachine are deleted");
  store::DeleteOptions options;
  options.uid = fork.metadata.uid;
  const Result<store::DeleteResult> deleted = deps_.store.Delete(runtime::KeyOf(fork), options);
  if (deleted.ok() || deleted.error().code == Code::kNotFound) return OkStatus();
  return deleted.error();
}

Result<Next> ForkReconciler::Reconcile(const std::string& key, const std::stop_token& stop) {
  const std::shared_ptr<const crd::Fork> fork = deps_.forks.Get(key);
  if (!fork) return Next::Done();
  Context context = Observe(fork);
  RecordObstacle(context);
  const Plan plan = MakePlan(context.observed);
  for (const Action& action : plan.actions) {
    if (stop.stop_requested()) return Cancelled("the pass was stopped");
    if (const Status done = Do(context, action); !done.ok()) return Fail(context, done.error());
  }
  WriteStatus(context);
  return NextLook(context, plan.waiting);
}

// An obstacle gets one Event, when it begins.
void ForkReconciler::RecordObstacle(const Context& context) {
  const std::string& uid = context.fork->metadata.uid;
  if (!context.obstacle || context.observed.gone) return last_reported_.Forget(uid);
  const std::string reason(context.obstacle->reason);
  if (!last_reported_.IsNew(uid, reason)) return;
  deps_.events.Record(runtime::ReferenceTo(*context.fork), runtime::EventType::kWarning, reason,
                      context.obstacle->message);
}

// The refusal of a child is shown in the status of its owner.
Error ForkReconciler::Fail(Context& context, const Error& error) {
  context.obstacle = Refused(error);
  deps_.events.Record(runtime::ReferenceTo(*context.fork), runtime::EventType::kWarning,
                      std::string(context.obstacle->reason), context.obstacle->message);
  WriteStatus(context);
  return error;
}

void ForkReconciler::WriteStatus(const Context& context) {
  const crd::Fork& fork = *context.fork;
  deps_.statuses.Want(runtime::KeyOf(fork), fork.metadata.uid,
                      runtime::StatusText(fork, BuildStatus(context)));
}

Next ForkReconciler::NextLook(const Context& context, Waiting waiting) const {
  std::optional<std::chrono::nanoseconds> after;
  if (waiting != Waiting::kNothing) after = kRetry;
  if (context.expires && !context.observed.gone) {
    const std::chrono::nanoseconds left = *context.expires - deps_.clock.WallNow();
    const auto rest = std::max(left, std::chrono::nanoseconds(std::chrono::milliseconds(10)));
    after = after ? std::min(*after, rest) : rest;
  }
  return after ? Next::After(*after) : Next::Done();
}

Result<std::string> ForkReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::Fork> fork = deps_.forks.Get(key);
  if (!fork) return NotFound("fork " + key);
  const Context context = Observe(fork);
  const Plan plan = MakePlan(context.observed);
  const crd::Json json = {{"desired",
                           {{"snapshot", SnapshotName(*fork)},
                            {"virtualMachine", VmName(*fork)},
                            {"blocked", context.obstacle ? context.obstacle->message : ""}}},
                          {"observed",
                           {{"snapshot", context.observed.snapshot},
                            {"snapshotReady", context.observed.snapshot_ready},
                            {"virtualMachine", context.observed.vm},
                            {"outdated", context.observed.vm_outdated}}},
                          {"plan", runtime::ActionTexts(plan.actions)},
                          {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

void ForkReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  deps_.forks.AddHandler([this, enqueue](const runtime::Informer<crd::Fork>::Change& change) {
    if (!change.after) {
      last_reported_.Forget(change.before->metadata.uid);
      MutexLock lock(mu_);
      captures_.erase(change.before->metadata.uid);
    }
    enqueue(change.key);
  });
  deps_.hosts.AddHandler([this, enqueue](const runtime::Informer<crd::Host>::Change& change) {
    const bool differs =
        !change.before || !change.after || !(change.before->spec == change.after->spec);
    if (change.key != deps_.host_name || !differs) return;
    for (const auto& fork : deps_.forks.List()) {
      if (fork->status.virtual_machine_name.empty()) enqueue(fork->metadata.Key());
    }
  });
  // A child has its Fork's name.
  deps_.vms.AddHandler(
      [enqueue](const runtime::Informer<crd::VirtualMachine>::Change& c) { enqueue(c.key); });
  deps_.snapshots.AddHandler([this, enqueue](const runtime::Informer<crd::Snapshot>::Change& c) {
    const crd::ObjectMeta& meta = c.any().metadata;
    for (const auto& fork : deps_.forks.ListIn(meta.ns)) {
      if (SnapshotName(*fork) == meta.name) enqueue(fork->metadata.Key());
    }
  });
}

}  // namespace forkplane::fork
