#include "reconcilers/fork_set/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/edit_typed.h"
#include "controller/runtime/parallel.h"
#include "crd/json.h"

namespace forkplane::fork_set {
namespace {

using runtime::Next;

constexpr std::chrono::milliseconds kCacheRetry{20};
constexpr std::chrono::seconds kRetry{5};

template <typename T>
store::ObjectKey KeyOf(const std::string& ns, const std::string& name) {
  return {{std::string(crd::kGroup), std::string(T::kPlural)}, ns, name};
}

// The name follows from the owner, so one that exists is ours, or a stranger's, which the next look
// tells apart.
template <typename T>
Result<store::Revision> Create(store::ObjectStore& store, const T& object) {
  const store::ObjectKey key = KeyOf<T>(object.metadata.ns, object.metadata.name);
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

Scene ForkSetReconciler::Observe(const std::shared_ptr<const crd::ForkSet>& set) {
  const std::string& ns = set->metadata.ns;
  const crd::ForkSource& source = set->spec.fork_template.spec.source;
  Scene scene;
  scene.set = set;
  // Asked first: what the cache shows after this is at least as new.
  scene.sight.cache_behind = CacheBehind(set->metadata.uid);
  scene.snapshot = deps_.snapshots.Get(store::NamespacedName(ns, SnapshotName(*set)));
  if (source.kind == crd::ForkSourceKind::kVirtualMachine) {
    scene.source_vm = deps_.vms.Get(store::NamespacedName(ns, source.name));
  }
  scene.forks = deps_.forks.ListOwnedBy(set->metadata.uid);
  Judge(scene);
  return scene;
}

Status ForkSetReconciler::Do(const Scene& scene, const Action& action) {
  const crd::ForkSet& set = *scene.set;
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
      deps_.store.Delete(KeyOf<crd::Fork>(set.metadata.ns, ForkName(set, remove.ordinal)));
  if (!deleted.ok() && deleted.error().code != Code::kNotFound) return deleted.error();
  return OkStatus();
}

// A cache that has not seen it yet has it done again, which changes nothing.
Status ForkSetReconciler::Update(const crd::ForkSet& set, std::int64_t ordinal) {
  const store::ObjectKey key = KeyOf<crd::Fork>(set.metadata.ns, ForkName(set, ordinal));
  return runtime::EditTyped<crd::Fork>(deps_.store, key, "", [&set](crd::Fork& fork) {
    if (!fork.metadata.IsOwnedBy(set.metadata.uid)) return false;
    UpdateFromTemplate(set, fork);
    return true;
  });
}

Status ForkSetReconciler::Execute(const Scene& scene, const std::vector<Action>& actions,
                                  const std::stop_token& stop) {
  std::vector<Status> done(actions.size(), OkStatus());
  runtime::ForEachParallel(actions.size(), deps_.writes_at_once, [&](std::size_t n) {
    done[n] =
        stop.stop_requested() ? Status(Cancelled("the pass was stopped")) : Do(scene, actions[n]);
  });
  for (Status& status : done) RETURN_IF_ERROR(std::move(status));
  return OkStatus();
}

Result<Next> ForkSetReconciler::Reconcile(const std::string& key, const std::stop_token& stop) {
  const std::shared_ptr<const crd::ForkSet> set = deps_.fork_sets.Get(key);
  if (!set) return Next::Done();
  Scene scene = Observe(set);
  const Plan plan = MakePlan(scene.sight);
  if (plan.waiting == Waiting::kCache) return Next::After(kCacheRetry);
  TellObstacle(scene);
  const Status done = Execute(scene, plan.actions, stop);
  if (!done.ok() && done.error().code != Code::kCancelled) {
    // What refused a child is told where its owner is looked at.
    scene.obstacle = Refused(done.error());
    Tell(scene, runtime::EventType::kWarning, "FailedCreate", done.error().message);
  }
  if (done.ok()) TellScaling(scene, plan.actions);
  Say(scene);
  RETURN_IF_ERROR(done);
  return plan.waiting == Waiting::kNothing ? Next::Done() : Next::After(kRetry);
}

void ForkSetReconciler::Say(const Scene& scene) {
  crd::ForkSet copy = *scene.set;
  copy.status = BuildStatus(scene);
  deps_.statuses.Want(KeyOf<crd::ForkSet>(copy.metadata.ns, copy.metadata.name), copy.metadata.uid,
                      crd::DumpJson(copy.ToJson()["status"]));
}

// What stands in the way is told once, when it begins to.
void ForkSetReconciler::TellObstacle(const Scene& scene) {
  const std::string& uid = scene.set->metadata.uid;
  if (!scene.obstacle || scene.sight.gone) return told_.Forget(uid);
  const std::string reason(scene.obstacle->reason);
  if (told_.IsNew(uid, reason)) {
    Tell(scene, runtime::EventType::kWarning, reason, scene.obstacle->message);
  }
}

void ForkSetReconciler::Tell(const Scene& scene, runtime::EventType type, const std::string& reason,
                             const std::string& message) {
  const crd::ObjectMeta& meta = scene.set->metadata;
  deps_.events.Record({std::string(crd::kApiVersion), std::string(crd::ForkSet::kKind), meta.ns,
                       meta.name, meta.uid},
                      type, reason, message);
}

// The number that is wanted, not how many this pass made: a set that grows in many passes counts on
// one Event.
void ForkSetReconciler::TellScaling(const Scene& scene, const std::vector<Action>& actions) {
  const auto has = [&]<typename T>(const T*) {
    return std::any_of(actions.begin(), actions.end(),
                       [](const Action& one) { return std::holds_alternative<T>(one); });
  };
  if (has(static_cast<const CreateFork*>(nullptr))) {
    Tell(scene, runtime::EventType::kNormal, "ScaledUp",
         fmt::format("Forks are made: {} are wanted", scene.sight.replicas));
  }
  if (has(static_cast<const DeleteFork*>(nullptr))) {
    Tell(scene, runtime::EventType::kNormal, "ScaledDown",
         fmt::format("Forks are deleted: {} are wanted", scene.sight.replicas));
  }
}

Result<std::string> ForkSetReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::ForkSet> set = deps_.fork_sets.Get(key);
  if (!set) return NotFound("fork set " + key);
  const Scene scene = Observe(set);
  const Plan plan = MakePlan(scene.sight);
  crd::Json actions = crd::Json::array();
  for (const Action& action : plan.actions) actions.push_back(ToString(action));
  const crd::Json json = {{"desired",
                           {{"replicas", scene.sight.replicas},
                            {"maxConcurrent", scene.sight.max_concurrent},
                            {"snapshot", SnapshotName(*set)},
                            {"blocked", scene.obstacle ? scene.obstacle->message : ""}}},
                          {"observed",
                           {{"children", scene.sight.children.size()},
                            {"snapshotReady", scene.sight.snapshot_ready},
                            {"cacheBehind", scene.sight.cache_behind}}},
                          {"plan", actions},
                          {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

void ForkSetReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  deps_.fork_sets.AddHandler([this, enqueue](const runtime::Informer<crd::ForkSet>::Change& c) {
    if (!c.after) {
      told_.Forget(c.before->metadata.uid);
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
