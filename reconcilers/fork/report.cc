// The status of a Fork from what was observed: its child's state, or what prevents a child.
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

Answer Pinned(const Context& context) {
  if (context.obstacle && context.obstacle->condition == condition::kSourcePinned) {
    return {ConditionStatus::kFalse, std::string(context.obstacle->reason),
            context.obstacle->message};
  }
  if (context.observed.vm || context.observed.snapshot_ready)
    return {ConditionStatus::kTrue, "Pinned"};
  return {ConditionStatus::kFalse, "SnapshotNotReady", "waiting for the snapshot to be taken"};
}

// The child's condition of this type.
Answer OfChild(const Context& context, std::string_view type) {
  if (!context.observed.vm) return {ConditionStatus::kFalse, "NoVirtualMachine"};
  const crd::Condition* reported = crd::FindCondition(context.vm->status.conditions, type);
  // A condition of an earlier generation says nothing about this one.
  const bool old =
      reported != nullptr && reported->observed_generation != context.vm->metadata.generation;
  if (reported == nullptr || old) return {ConditionStatus::kUnknown, "Pending"};
  return {reported->status, reported->reason, reported->message};
}

}  // namespace

crd::ForkStatus BuildStatus(const Context& context) {
  const std::int64_t generation = context.fork->metadata.generation;
  crd::ForkStatus status;
  status.observed_generation = generation;
  const auto add = [&](std::string_view type, const Answer& answer) {
    status.conditions.push_back(
        {std::string(type), answer.status, answer.reason, answer.message, generation, ""});
  };
  if (context.snapshot) status.snapshot_name = context.snapshot->metadata.name;
  if (context.observed.vm) {
    status.virtual_machine_name = context.vm->metadata.name;
    status.timings = context.vm->status.timings;
  }
  if (context.capture_milliseconds) {
    if (!status.timings) status.timings.emplace();
    status.timings->capture = context.capture_milliseconds;
    if (status.timings->total) *status.timings->total += *context.capture_milliseconds;
  }
  const Answer pinned = Pinned(context);
  add(condition::kSourcePinned, pinned);
  add(condition::kRestored, OfChild(context, condition::kRestored));
  add(condition::kNetworkShaped, OfChild(context, condition::kNetworkShaped));
  Answer ready = context.observed.vm ? OfChild(context, condition::kReady) : pinned;
  if (context.observed.vm_outdated) {
    ready = {ConditionStatus::kFalse, "Updating", "its VirtualMachine is brought to the template"};
  }
  if (context.observed.gone) ready = {ConditionStatus::kFalse, "Terminating"};
  if (!context.observed.vm && ready.status == ConditionStatus::kTrue) {
    ready = {ConditionStatus::kFalse, "Creating"};
  }
  if (context.obstacle && context.obstacle->condition == condition::kReady) {
    ready = {ConditionStatus::kFalse, std::string(context.obstacle->reason),
             context.obstacle->message};
  }
  const bool child_stalled =
      context.observed.vm && crd::IsTrue(context.vm->status.conditions, condition::kStalled);
  const bool stalled = child_stalled || (context.obstacle && context.obstacle->terminal);
  if (ready.status != ConditionStatus::kTrue) {
    Answer why = ready;
    why.status = ConditionStatus::kTrue;
    add(stalled ? condition::kStalled : condition::kReconciling, why);
  }
  if (!context.not_updated.empty()) {
    add(condition::kNotUpdated, {ConditionStatus::kTrue, "FieldsFixed",
                                 fmt::format("{}", fmt::join(context.not_updated, "; "))});
  }
  add(condition::kReady, ready);
  return status;
}

}  // namespace forkplane::fork
