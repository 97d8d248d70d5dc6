#include "reconcilers/fork_set/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/edit_typed.h"
#include "controller/runtime/parallel.h"
#include "controller/runtime/plan_text.h"
#include "controller/runtime/typed_object.h"
#include "crd/json.h"

namespace forkplane::fork_set {
namespace {

using runtime::Next;

constexpr std::chrono::milliseconds kCacheRetry{20};
constexpr std::chrono::seconds kRetry{5};

// The name follows from the owner, so an object that exists already is ours or a stranger's; the
// next observation tells which.
template <typename T>
Result<store::Revision> Create(store::ObjectStore& store, const T& object) {
  const store::ObjectKey key = runtime::KeyOf(object);
  const Result<store::WriteResult> made = store.Create(key.resource, key.ns, object.ToText());
  if (made.ok()) return made->object->meta.revision;
  if (made.error().code == Code::kExists) return store::Revision{0};
  Error error = made.error();
  return std::move(error).WithContext(
      fmt::format("create {} \"{}\"", T::kKind, object.metadata.name));
}

}  // namespace

void ForkSetReconciler::Expect(const std::string& uid, store::Revision revision) {
  MutexLock lock(mu_);
  store::Revision& expected = expected_[uid];
  expected = std::max(expected, revision);
}

bool ForkSetReconciler::CacheBehind(const std::string& uid) {
  store::Revision revision = 0;
  {
    MutexLock lock(mu_);
    const auto found = expected_.find(uid);
    if (found == expected_.end()) return false;
    revision = found->second;
  }
  if (!deps_.forks.WaitFor(revision, {}, deps_.clock.Now())) return true;
  MutexLock lock(mu_);
  const auto found = expected_.find(uid);
  if (found != expected_.end() && found->second == revision) expected_.erase(found);
  return false;
}

Context ForkSetReconciler::Observe(const std::shared_ptr<const crd::ForkSet>& set) {
  const std::string& ns = set->metadata.ns;
  const crd::ForkSource& source = set->spec.fork_template.spec.source;
  Context context;
  context.set = set;
  // This comes first: what is read from the cache afterwards is at least as new.
  context.observed.cache_behind = CacheBehind(set->metadata.uid);
  context.snapshot = deps_.snapshots.Get(store::NamespacedName(ns, SnapshotName(*set)));
  if (source.kind == crd::ForkSourceKind::kVirtualMachine) {
    context.source_vm = deps_.vms.Get(store::NamespacedName(ns, source.name));
  }
  context.forks = deps_.forks.ListOwnedBy(set->metadata.uid);
  Judge(context);
  return context;
}

Status ForkSetReconciler::Do(const Context& context, const Action& action) {
  const crd::ForkSet& set = *context.set;
  const std::string& uid = set.metadata.uid;
  if (std::holds_alternative<CreateSnapshot>(action)) {
    RETURN_IF_ERROR(Create(deps_.store, MakeSnapshot(set)));
    return OkStatus();
  }
  if (const auto* create = std::get_if<CreateFork>(&action)) {
    ASSIGN_OR_RETURN(const store::Revision revision,
                     Create(deps_.store, MakeFork(set, create->ordinal)));
    Expect(uid, revision);
    return OkStatus();
  }
  if (const auto* update = std::get_if<UpdateFork>(&action)) return Update(set, update->ordinal);
  const auto& remove = std::get<DeleteFork>(action);
  const Result<store::DeleteResult> deleted =
      deps_.store.Delete(runtime::KeyOf<crd::Fork>(set.metadata.ns, ForkName(set, remove.ordinal)));
  if (!deleted.ok() && deleted.error().code != Code::kNotFound) return deleted.error();
  return OkStatus();
}

// While the cache lags the update is planned again, and that second edit changes nothing.
Status ForkSetReconciler::Update(const crd::ForkSet& set, std::int64_t ordinal) {
  const store::ObjectKey key = runtime::KeyOf<crd::Fork>(set.metadata.ns, ForkName(set, ordinal));
  return runtime::EditTyped<crd::Fork>(deps_.store, key, "", [&set](crd::Fork& fork) {
    if (!fork.metadata.IsOwnedBy(set.metadata.uid)) return false;
    UpdateFromTemplate(set, fork);
    return true;
  });
}

Status ForkSetReconciler::Execute(const Context& context, const std::vector<Action>& actions,
                                  const std::stop_token& stop) {
  std::vector<Status> done(actions.size(), OkStatus());
  runtime::ForEachParallel(actions.size(), deps_.writes_at_once, [&](std::size_t n) {
    done[n] =
        stop.stop_requested() ? Status(Cancelled("the pass was stopped")) : Do(context, actions[n]);
  });
  for (Status& status : done) RETURN_IF_ERROR(std::move(status));
  return OkStatus();
}

Result<Next> ForkSetReconciler::Reconcile(const std::string& key, const std::stop_token& stop) {
  const std::shared_ptr<const crd::ForkSet> set = deps_.fork_sets.Get(key);
  if (!set) return Next::Done();
  Context context = Observe(set);
  const Plan plan = MakePlan(context.observed);
  if (plan.waiting == Waiting::kCache) return Next::After(kCacheRetry);
  RecordObstacle(context);
  const Status done = Execute(context, plan.actions, stop);
  if (!done.ok() && done.error().code != Code::kCancelled) {
    // The refusal of a child is shown in the status of its owner.
    context.obstacle = Refused(done.error());
    RecordEvent(context, runtime::EventType::kWarning, "FailedCreate", done.error().message);
  }
  if (done.ok()) RecordScaling(context, plan.actions);
  WriteStatus(context);
  RETURN_IF_ERROR(done);
  return plan.waiting == Waiting::kNothing ? Next::Done() : Next::After(kRetry);
}

void ForkSetReconciler::WriteStatus(const Context& context) {
  const crd::ForkSet& set = *context.set;
  deps_.statuses.Want(runtime::KeyOf(set), set.metadata.uid,
                      runtime::StatusText(set, BuildStatus(context)));
}

// An obstacle gets one Event, when it begins.
void ForkSetReconciler::RecordObstacle(const Context& context) {
  const std::string& uid = context.set->metadata.uid;
  if (!context.obstacle || context.observed.gone) return last_reported_.Forget(uid);
  const std::string reason(context.obstacle->reason);
  if (last_reported_.IsNew(uid, reason)) {
    RecordEvent(context, runtime::EventType::kWarning, reason, context.obstacle->message);
  }
}

void ForkSetReconciler::RecordEvent(const Context& context, runtime::EventType type,
                                    const std::string& reason, const std::string& message) {
  deps_.events.Record(runtime::ReferenceTo(*context.set), type, reason, message);
}

// The message has the wanted number, not how many this pass made, so a set that grows in many
// passes raises the count of one Event.
void ForkSetReconciler::RecordScaling(const Context& context, const std::vector<Action>& actions) {
  const auto has = [&]<typename T>(const T*) {
    return std::any_of(actions.begin(), actions.end(),
                       [](const Action& one) { return std::holds_alternative<T>(one); });
  };
  if (has(static_cast<const CreateFork*>(nullptr))) {
    RecordEvent(context, runtime::EventType::kNormal, "ScaledUp",
                fmt::format("Forks are made: {} are wanted", context.observed.replicas));
  }
  if (has(static_cast<const DeleteFork*>(nullptr))) {
    RecordEvent(context, runtime::EventType::kNormal, "ScaledDown",
                fmt::format("Forks are deleted: {} are wanted", context.observed.replicas));
  }
}

Result<std::string> ForkSetReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::ForkSet> set = deps_.fork_sets.Get(key);
  if (!set) return NotFound("fork set " + key);
  const Context context = Observe(set);
  const Plan plan = MakePlan(context.observed);
  const crd::Json json = {{"desired",
                           {{"replicas", context.observed.replicas},
                            {"maxConcurrent", context.observed.max_concurrent},
                            {"snapshot", SnapshotName(*set)},
                            {"blocked", context.obstacle ? context.obstacle->message : ""}}},
                          {"observed",
                           {{"children", context.observed.children.size()},
                            {"snapshotReady", context.observed.snapshot_ready},
                            {"cacheBehind", context.observed.cache_behind}}},
                          {"plan", runtime::ActionTexts(plan.actions)},
                          {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

void ForkSetReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  deps_.fork_sets.AddHandler([this, enqueue](const runtime::Informer<crd::ForkSet>::Change& c) {
    if (!c.after) {
      last_reported_.Forget(c.before->metadata.uid);
      MutexLock lock(mu_);
      expected_.erase(c.before->metadata.uid);
    }
    enqueue(c.key);
  });
  deps_.forks.AddHandler([this, enqueue](const runtime::Informer<crd::Fork>::Change& change) {
    const crd::OwnerReference* owner = change.any().metadata.ControllerRef();
    if (owner == nullptr) return;
    const auto set = deps_.fork_sets.GetByUid(owner->uid);
    if (set) enqueue(set->metadata.Key());
  });
  deps_.snapshots.AddHandler([this, enqueue](const runtime::Informer<crd::Snapshot>::Change& c) {
    const crd::ObjectMeta& meta = c.any().metadata;
    for (const auto& set : deps_.fork_sets.ListIn(meta.ns)) {
      if (SnapshotName(*set) == meta.name) enqueue(set->metadata.Key());
    }
  });
}

}  // namespace forkplane::fork_set
