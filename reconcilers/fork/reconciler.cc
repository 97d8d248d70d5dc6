#include "reconcilers/fork/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/edit_typed.h"
#include "crd/json.h"

namespace forkplane::fork {
namespace {

using runtime::Next;
using std::chrono::seconds;

constexpr seconds kRetry{5};  // for what no informer of ours tells

template <typename T>
store::GroupResource ResourceOf() {
  return {std::string(crd::kGroup), std::string(T::kPlural)};
}

template <typename T>
store::ObjectKey KeyOf(const T& object) {
  return {ResourceOf<T>(), object.metadata.ns, object.metadata.name};
}

runtime::ObjectReference ReferenceTo(const crd::Fork& fork) {
  return {std::string(crd::kApiVersion), std::string(crd::Fork::kKind), fork.metadata.ns,
          fork.metadata.name, fork.metadata.uid};
}

// The name is ours alone, so an object that exists is the one we made and have not seen yet, or a
// stranger's, which the next look tells apart.
template <typename T>
Status Create(store::ObjectStore& store, const T& object) {
  const Result<store::WriteResult> made =
      store.Create(ResourceOf<T>(), object.metadata.ns, object.ToText());
  if (made.ok() || made.error().code == Code::kExists) return OkStatus();
  Error error = made.error();
  return std::move(error).WithContext(
      fmt::format("create {} \"{}\"", T::kKind, object.metadata.name));
}

}  // namespace

Scene ForkReconciler::Observe(const std::shared_ptr<const crd::Fork>& fork) {
  const std::string& ns = fork->metadata.ns;
  Scene scene;
  scene.host_name = deps_.host_name;
  scene.fork = fork;
  scene.snapshot = deps_.snapshots.Get(store::NamespacedName(ns, SnapshotName(*fork)));
  scene.vm = deps_.vms.Get(store::NamespacedName(ns, VmName(*fork)));
  if (fork->spec.source.kind == crd::ForkSourceKind::kVirtualMachine) {
    scene.source_vm = deps_.vms.Get(store::NamespacedName(ns, fork->spec.source.name));
  }
  if (scene.snapshot && scene.snapshot->status.machine &&
      !scene.snapshot->status.machine->interfaces.empty()) {
    scene.network = deps_.networks.Get(scene.snapshot->status.machine->interfaces.front().network);
  }
  scene.host = deps_.hosts.Get(deps_.host_name);
  Judge(scene, deps_.clock.WallNow());
  scene.capture_milliseconds = MeasureCapture(scene);
  return scene;
}

std::optional<std::int64_t> ForkReconciler::MeasureCapture(const Scene& scene) {
  const crd::Fork& fork = *scene.fork;
  if (!scene.sight.takes_snapshot) return std::nullopt;
  if (fork.status.timings && fork.status.timings->capture) return fork.status.timings->capture;
  const MonotonicTime now = deps_.clock.Now();
  MutexLock lock(mu_);
  // One that an earlier daemon began with was not timed.
  const bool fresh = !scene.sight.vm && !scene.sight.snapshot_ready;
  if (fresh) captures_.try_emplace(fork.metadata.uid, Capture{now});
  const auto found = captures_.find(fork.metadata.uid);
  if (found == captures_.end()) return std::nullopt;
  Capture& capture = found->second;
  if (scene.sight.snapshot_ready && !capture.milliseconds) {
    capture.milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - capture.begun).count();
  }
  return capture.milliseconds;
}

Status ForkReconciler::Update(const Scene& scene) {
  const crd::VirtualMachine& vm = *scene.vm;
  return runtime::EditTyped<crd::VirtualMachine>(deps_.store, KeyOf(vm), vm.metadata.uid,
                                                 [&scene](crd::VirtualMachine& stored) {
                                                   UpdateFromTemplate(scene, stored);
                                                   return true;
                                                 });
}

Status ForkReconciler::Do(const Scene& scene, const Action& action) {
  const crd::Fork& fork = *scene.fork;
  if (std::holds_alternative<CreateSnapshot>(action)) {
    return Create(deps_.store, MakeSnapshot(fork));
  }
  if (std::holds_alternative<CreateVm>(action)) {
    return Create(deps_.store, MakeVm(scene));
  }
  if (std::holds_alternative<UpdateVm>(action)) return Update(scene);
  deps_.events.Record(ReferenceTo(fork), runtime::EventType::kNormal, "Expired",
                      "spec.ttl is over: the Fork and its VirtualMachine are deleted");
  store::DeleteOptions options;
  options.uid = fork.metadata.uid;
  const Result<store::DeleteResult> deleted = deps_.store.Delete(KeyOf(fork), options);
  if (deleted.ok() || deleted.error().code == Code::kNotFound) return OkStatus();
  return deleted.error();
}

Result<Next> ForkReconciler::Reconcile(const std::string& key, const std::stop_token& stop) {
  const std::shared_ptr<const crd::Fork> fork = deps_.forks.Get(key);
  if (!fork) return Next::Done();
  Scene scene = Observe(fork);
  TellObstacle(scene);
  const Plan plan = MakePlan(scene.sight);
  for (const Action& action : plan.actions) {
    if (stop.stop_requested()) return Cancelled("the pass was stopped");
    if (const Status done = Do(scene, action); !done.ok()) return Fail(scene, done.error());
  }
  Say(scene);
  return NextLook(scene, plan.waiting);
}

// What stands in the way is told once, when it begins to.
void ForkReconciler::TellObstacle(const Scene& scene) {
  const std::string& uid = scene.fork->metadata.uid;
  if (!scene.obstacle || scene.sight.gone) return told_.Forget(uid);
  const std::string reason(scene.obstacle->reason);
  if (!told_.IsNew(uid, reason)) return;
  deps_.events.Record(ReferenceTo(*scene.fork), runtime::EventType::kWarning, reason,
                      scene.obstacle->message);
}

// What refused the child is told where its owner is looked at.
Error ForkReconciler::Fail(Scene& scene, const Error& error) {
  scene.obstacle = Refused(error);
  deps_.events.Record(ReferenceTo(*scene.fork), runtime::EventType::kWarning,
                      std::string(scene.obstacle->reason), scene.obstacle->message);
  Say(scene);
  return error;
}

void ForkReconciler::Say(const Scene& scene) {
  crd::Fork copy = *scene.fork;
  copy.status = BuildStatus(scene);
  deps_.statuses.Want(KeyOf(copy), copy.metadata.uid, crd::DumpJson(copy.ToJson()["status"]));
}

Next ForkReconciler::NextLook(const Scene& scene, Waiting waiting) const {
  std::optional<std::chrono::nanoseconds> after;
  if (waiting != Waiting::kNothing) after = kRetry;
  if (scene.expires && !scene.sight.gone) {
    const std::chrono::nanoseconds left = *scene.expires - deps_.clock.WallNow();
    const auto rest = std::max(left, std::chrono::nanoseconds(std::chrono::milliseconds(10)));
    after = after ? std::min(*after, rest) : rest;
  }
  return after ? Next::After(*after) : Next::Done();
}

Result<std::string> ForkReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::Fork> fork = deps_.forks.Get(key);
  if (!fork) return NotFound("fork " + key);
  const Scene scene = Observe(fork);
  const Plan plan = MakePlan(scene.sight);
  crd::Json actions = crd::Json::array();
  for (const Action& action : plan.actions) actions.push_back(ToString(action));
  const crd::Json json = {{"desired",
                           {{"snapshot", SnapshotName(*fork)},
                            {"virtualMachine", VmName(*fork)},
                            {"blocked", scene.obstacle ? scene.obstacle->message : ""}}},
                          {"observed",
                           {{"snapshot", scene.sight.snapshot},
                            {"snapshotReady", scene.sight.snapshot_ready},
                            {"virtualMachine", scene.sight.vm},
                            {"outdated", scene.sight.vm_outdated}}},
                          {"plan", actions},
                          {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

void ForkReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  deps_.forks.AddHandler([this, enqueue](const runtime::Informer<crd::Fork>::Change& change) {
    if (!change.after) {
      told_.Forget(change.before->metadata.uid);
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
