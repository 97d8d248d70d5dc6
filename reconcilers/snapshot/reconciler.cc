#include "reconcilers/snapshot/reconciler.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/converge.h"
#include "controller/runtime/plan_text.h"
#include "controller/runtime/typed_object.h"
#include "crd/json.h"
#include "reconcilers/snapshot/report.h"

namespace forkplane::snapshot {
namespace {

using runtime::Next;
using std::chrono::seconds;

constexpr int kPassesMax = 4;
constexpr int kStaleMax = 3;
constexpr seconds kRetry{2};
constexpr seconds kResync{30};

bool Captures(const Plan& plan) {
  return std::any_of(plan.actions.begin(), plan.actions.end(),
                     [](const Action& action) { return std::holds_alternative<Capture>(action); });
}

bool EndsObject(const Plan& plan) {
  return !plan.actions.empty() && std::holds_alternative<RemoveFinalizer>(plan.actions.back());
}

Next NextLook(Waiting waiting) {
  switch (waiting) {
    case Waiting::kBackoff:
      return Next::After(kRetry);
    case Waiting::kSource:
    case Waiting::kUsers:
      return Next::After(seconds(5));  // changes enqueue the key; this covers a missed one
    case Waiting::kNothing:
    case Waiting::kRefused:
    case Waiting::kGivenUp:
    case Waiting::kDamaged:
      break;
  }
  return Next::After(kResync);
}

}  // namespace

SnapshotMemory SnapshotReconciler::MemoryOf(const std::string& key, const std::string& uid) {
  MutexLock lock(mu_);
  const auto found = memory_.find(key);
  if (found != memory_.end() && found->second.uid == uid) return found->second;
  SnapshotMemory memory;
  memory.uid = uid;
  return memory;
}

void SnapshotReconciler::Remember(const std::string& key, const SnapshotMemory& memory) {
  MutexLock lock(mu_);
  memory_[key] = memory;
}

Result<Next> SnapshotReconciler::Reconcile(const std::string& key, const std::stop_token& stop) {
  const std::shared_ptr<const crd::Snapshot> snapshot = deps_.snapshots.Get(key);
  if (!snapshot) {
    MutexLock lock(mu_);
    memory_.erase(key);
    return Next::Done();
  }
  SnapshotMemory memory = MemoryOf(key, snapshot->metadata.uid);
  const Result<Waiting> waiting = Converge(snapshot, memory, stop);
  Remember(key, memory);
  if (!waiting.ok()) return waiting.error();
  return NextLook(*waiting);
}

Result<Waiting> SnapshotReconciler::Converge(const std::shared_ptr<const crd::Snapshot>& snapshot,
                                             SnapshotMemory& memory, const std::stop_token& stop) {
  int stale = 0;
  for (int round = 0;; ++round) {
    ASSIGN_OR_RETURN(const Context context, Observe(deps_, snapshot, memory));
    const Plan plan = MakePlan(context.desired, context.observed);
    WriteStatus(context, plan.waiting, Captures(plan), memory);
    if (plan.actions.empty() || round == kPassesMax) return plan.waiting;
    const Status status = Execute(context, plan, memory, stop);
    if (status.ok() && EndsObject(plan)) return Waiting::kNothing;
    if (status.ok()) continue;
    if (!runtime::IsStale(status.error().code) || ++stale > kStaleMax) return status.error();
  }
}

Status SnapshotReconciler::Execute(const Context& context, const Plan& plan, SnapshotMemory& memory,
                                   const std::stop_token& stop) {
  Execution execution(deps_, context, stop);
  for (const Action& action : plan.actions) {
    Status status =
        stop.stop_requested() ? Cancelled("the pass was stopped") : execution.Run(action);
    if (status.ok()) continue;
    execution.CleanUp();
    Error error = std::move(status).error().WithContext(ToString(action));
    const bool counts =
        Captures(plan) && !runtime::IsStale(error.code) && error.code != Code::kCancelled;
    if (!counts) return error;
    NoteFailure(context, error, memory);
    return OkStatus();  // the next plan waits, or gives up
  }
  if (execution.captured()) {
    deps_.events.Record(runtime::ReferenceTo(*context.snapshot), runtime::EventType::kNormal,
                        "Captured", "the snapshot is whole and its source runs on");
  }
  return OkStatus();
}

void SnapshotReconciler::NoteFailure(const Context& context, const Error& error,
                                     SnapshotMemory& memory) {
  memory.failures = error.code == Code::kInvalid ? kCapturesMax : memory.failures + 1;
  memory.not_before = deps_.clock.Now() + kRetry;
  memory.failure = error.message;
  deps_.events.Record(runtime::ReferenceTo(*context.snapshot), runtime::EventType::kWarning,
                      "CaptureFailed", error.message);
}

void SnapshotReconciler::WriteStatus(const Context& context, Waiting waiting, bool capturing,
                                     const SnapshotMemory& memory) {
  const crd::Snapshot& snapshot = *context.snapshot;
  deps_.statuses.Want(runtime::KeyOf(snapshot), snapshot.metadata.uid,
                      runtime::StatusText(snapshot, BuildStatus({context, waiting, capturing,
                                                                 memory, deps_.host_name})));
}

Result<std::string> SnapshotReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::Snapshot> snapshot = deps_.snapshots.Get(key);
  if (!snapshot) return NotFound("snapshot " + key);
  const SnapshotMemory memory = MemoryOf(key, snapshot->metadata.uid);
  ASSIGN_OR_RETURN(const Context context, Observe(deps_, snapshot, memory));
  const Plan plan = MakePlan(context.desired, context.observed);
  const crd::Json json = {
      {"desired",
       {{"gone", context.desired.gone},
        {"refused", context.refusal ? context.refusal->message : ""},
        {"usedBy", context.users}}},
      {"observed",
       {{"committed", context.observed.committed},
        {"damaged", context.damage},
        {"templateHeld", context.observed.held},
        {"source", context.source_obstacle ? context.source_obstacle->message : "ready"},
        {"failures", memory.failures},
        {"lastFailure", memory.failure}}},
      {"plan", runtime::ActionTexts(plan.actions)},
      {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

}  // namespace forkplane::snapshot
