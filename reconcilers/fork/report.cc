// The status of a Fork from what was seen: its child's state, and what stands in the way of one.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <utility>

#include "reconcilers/fork/reconciler.h"

namespace forkplane::fork {
namespace {

using crd::ConditionStatus;
namespace condition = crd::condition;

struct Answer {
  ConditionStatus status = ConditionStatus::kFalse;
  std::string reason;
  std::string message = {};
};

Answer Pinned(const Scene& scene) {
  if (scene.obstacle && scene.obstacle->condition == condition::kSourcePinned) {
    return {ConditionStatus::kFalse, std::string(scene.obstacle->reason), scene.obstacle->message};
  }
  if (scene.sight.vm || scene.sight.snapshot_ready) return {ConditionStatus::kTrue, "Pinned"};
  return {ConditionStatus::kFalse, "SnapshotNotReady", "waiting for the snapshot to be taken"};
}

// As the child says it.
Answer OfChild(const Scene& scene, std::string_view type) {
  if (!scene.sight.vm) return {ConditionStatus::kFalse, "NoVirtualMachine"};
  const crd::Condition* told = crd::FindCondition(scene.vm->status.conditions, type);
  // Its answer to the spec before is none.
  const bool old = told != nullptr && told->observed_generation != scene.vm->metadata.generation;
  if (told == nullptr || old) return {ConditionStatus::kUnknown, "Pending"};
  return {told->status, told->reason, told->message};
}

}  // namespace

crd::ForkStatus BuildStatus(const Scene& scene) {
  const std::int64_t generation = scene.fork->metadata.generation;
  crd::ForkStatus status;
  status.observed_generation = generation;
  const auto add = [&](std::string_view type, const Answer& answer) {
    status.conditions.push_back(
        {std::string(type), answer.status, answer.reason, answer.message, generation, ""});
  };
  if (scene.snapshot) status.snapshot_name = scene.snapshot->metadata.name;
  if (scene.sight.vm) {
    status.virtual_machine_name = scene.vm->metadata.name;
    status.timings = scene.vm->status.timings;
  }
  if (scene.capture_milliseconds) {
    if (!status.timings) status.timings.emplace();
    status.timings->capture = scene.capture_milliseconds;
    if (status.timings->total) *status.timings->total += *scene.capture_milliseconds;
  }
  const Answer pinned = Pinned(scene);
  add(condition::kSourcePinned, pinned);
  add(condition::kRestored, OfChild(scene, condition::kRestored));
  add(condition::kNetworkShaped, OfChild(scene, condition::kNetworkShaped));
  Answer ready = scene.sight.vm ? OfChild(scene, condition::kReady) : pinned;
  if (scene.sight.vm_outdated) {
    ready = {ConditionStatus::kFalse, "Updating", "its VirtualMachine is brought to the template"};
  }
  if (scene.sight.gone) ready = {ConditionStatus::kFalse, "Terminating"};
  if (!scene.sight.vm && ready.status == ConditionStatus::kTrue) {
    ready = {ConditionStatus::kFalse, "Creating"};
  }
  if (scene.obstacle && scene.obstacle->condition == condition::kReady) {
    ready = {ConditionStatus::kFalse, std::string(scene.obstacle->reason), scene.obstacle->message};
  }
  const bool child_stalled =
      scene.sight.vm && crd::IsTrue(scene.vm->status.conditions, condition::kStalled);
  const bool stalled = child_stalled || (scene.obstacle && scene.obstacle->terminal);
  if (ready.status != ConditionStatus::kTrue) {
    Answer why = ready;
    why.status = ConditionStatus::kTrue;
    add(stalled ? condition::kStalled : condition::kReconciling, why);
  }
  if (!scene.not_updated.empty()) {
    add(condition::kNotUpdated, {ConditionStatus::kTrue, "FieldsFixed",
                                 fmt::format("{}", fmt::join(scene.not_updated, "; "))});
  }
  add(condition::kReady, ready);
  return status;
}

}  // namespace forkplane::fork
