// The conditions of a VirtualMachine. Each function answers one question; Ready comes last and
// takes its reason from the first answer that is not yes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <utility>

#include "reconcilers/virtual_machine/obstacles.h"
#include "reconcilers/virtual_machine/report.h"

namespace forkplane::virtual_machine {
namespace {

using crd::ConditionStatus;
namespace condition = crd::condition;

struct Answer {
  ConditionStatus status = ConditionStatus::kUnknown;
  std::string reason;
  std::string message = {};
};

Answer Yes(std::string reason, std::string message = {}) {
  return {ConditionStatus::kTrue, std::move(reason), std::move(message)};
}
Answer No(std::string reason, std::string message = {}) {
  return {ConditionStatus::kFalse, std::move(reason), std::move(message)};
}

// A machine that runs is not blocked, but a spec that asks for what is not supported is reported.
const Block* BlockOf(const Context& context) {
  if (!context.desired.block) return nullptr;
  const bool refused = context.desired.block->reason == "NotSupported";
  const bool starts = context.desired.state.power == Power::kRunning && !IsUp(context);
  return starts || refused ? &*context.desired.block : nullptr;
}

const Block* BlockOf(const Context& context, std::string_view type) {
  const Block* block = BlockOf(context);
  return block != nullptr && block->condition == type ? block : nullptr;
}

Answer Blocked(const Block& block) { return No(std::string(block.reason), block.message); }

bool Names(const Error& error, std::string_view field) {
  for (const Cause& cause : error.causes) {
    if (cause.field == field) return true;
  }
  return false;
}

// The claim was refused for the host's CPUs, memory or uplink, which is a matter of placement.
bool IsCompute(const Error& error) {
  return Names(error, "cpu") || Names(error, "memory") || Names(error, "upload");
}

const char* InsufficientOf(const Error& error) {
  if (Names(error, "cpu")) return "InsufficientCpu";
  return Names(error, "memory") ? "InsufficientMemory" : "InsufficientUpload";
}

std::string ClaimReason(const Error& error) {
  switch (error.code) {
    case Code::kNotFound:
      return "NetworkNotReady";
    case Code::kConflict:
      return "AddressInUse";
    case Code::kInvalid:
      return "AddressInvalid";
    case Code::kExhausted:
      return Names(error, "addresses") ? "AddressesExhausted" : "InsufficientResources";
    case Code::kUnavailable:
      return "LeasesReleasing";
    case Code::kExists:
    case Code::kCancelled:
    case Code::kInternal:
      break;
  }
  return "ClaimFailed";
}

// The ledger names the field of a claim. The condition names the field of the spec and what to do.
Answer ClaimRefused(const Error& error) {
  for (const Cause& cause : error.causes) {
    if (!cause.field.starts_with("interfaces[")) continue;
    return No(ClaimReason(error),
              fmt::format("spec.{}: {}: name another, or leave it out for a free one", cause.field,
                          cause.message));
  }
  return No(ClaimReason(error), error.message);
}

Answer Scheduled(const Report& report) {
  if (const Block* block = BlockOf(report.context, condition::kScheduled)) return Blocked(*block);
  const std::optional<Error>& refused = report.memory.claim_error;
  if (refused && IsCompute(*refused)) {
    return No(InsufficientOf(*refused),
              fmt::format("Host {} has no room: {}: stop others, ask for less, or raise its "
                          "spec.overcommit",
                          report.context.inputs.host_name, refused->message));
  }
  return Yes("Bound", "to host " + report.context.inputs.host_name);
}

Answer SlotGranted(const Report& report) {
  const Context& context = report.context;
  if (IsUp(context)) return Yes("Released", "given back when the guest was resumed");
  const std::optional<Error>& refused = report.memory.claim_error;
  if (refused && Names(*refused, "restoreSlots")) {
    return No("InsufficientResources", refused->message);
  }
  if (!context.lease || !context.lease->slot) {
    return No("NotRequested", "asked for when everything else is in place");
  }
  const ledger::SlotState& slot = *context.lease->slot;
  if (slot.granted) return Yes("Granted", "until the guest is resumed");
  const bool overdue = report.wall_now - slot.since > kSlotWaitMax;
  return No(overdue ? "SlotOverdue" : "WaitingForSlot",
            fmt::format("place {} for a restore slot of {} since {}, {} {}", slot.position,
                        slot.pool, FormatTime(slot.since), overdue ? "overdue since" : "due by",
                        FormatTime(slot.since + kSlotWaitMax)));
}

Answer NetworkReady(const Report& report) {
  const Context& context = report.context;
  if (const Block* block = BlockOf(context, condition::kNetworkReady)) return Blocked(*block);
  const std::optional<Error>& refused = report.memory.claim_error;
  if (refused && !IsCompute(*refused)) return ClaimRefused(*refused);
  if (!context.lease) return No("NotLeased", "no address is leased yet");
  for (std::size_t i = 0; i < context.facts.size(); ++i) {
    const runtime::InterfaceFacts& facts = context.facts[i];
    if (facts.ready) continue;
    return No(facts.reason.empty() ? "WaitingForTap" : facts.reason,
              fmt::format("interface {} is not in place yet", context.lease->interfaces[i].name));
  }
  return Yes("InterfacesReady");
}

// NetworkShaped stays True: the guest has all there is, and a link that comes up slower must not
// make VMs unready.
Answer Shaped(const Context& context) {
  for (std::size_t i = 0; i < context.facts.size(); ++i) {
    const runtime::InterfaceFacts& facts = context.facts[i];
    if (facts.beyond_kernel) {
      return Yes(
          "RateBounded",
          fmt::format("interface {}: a rate or burst asked for is beyond what the kernel can "
                      "keep: two frames and the burst each take at most 274 s at the rate. It has "
                      "{} bit/s and "
                      "bursts of {} bytes towards the guest, {} to {} bit/s and {} bytes "
                      "from it",
                      context.lease->interfaces[i].name, facts.download_rate_bits_per_second,
                      facts.download_burst_bytes, facts.upload_rate_bits_per_second,
                      facts.upload_ceil_bits_per_second, facts.upload_burst_bytes));
    }
    if (facts.short_of_guarantee) {
      return Yes(
          "GuaranteeShort",
          fmt::format("interface {}: others are sure of the rest of the uplink, so of its "
                      "upload rate it is sure of {} bit/s, and has up to {} while they leave "
                      "it free: ask for less, or let others do so",
                      context.lease->interfaces[i].name, facts.upload_rate_bits_per_second,
                      facts.upload_ceil_bits_per_second));
    }
    if (!facts.above_capacity) continue;
    return Yes("RateAboveCapacity",
               fmt::format("interface {}: the upload rate is more than the uplink has, and was "
                           "lowered to its {} bit/s: ask for less, or correct the Host's "
                           "spec.uplinks[0].capacity.upload",
                           context.lease->interfaces[i].name, facts.upload_ceil_bits_per_second));
  }
  return Yes("Shaped");
}

Answer NetworkShaped(const Report& report) {
  const Context& context = report.context;
  if (!context.lease) return No("NotLeased", "there is no interface yet");
  if (IsShaped(context)) return Shaped(context);
  const VmMemory& memory = report.memory;
  const bool young =
      !memory.was_shaped && (!memory.unshaped || report.now - *memory.unshaped < kShapedUnknownMax);
  if (young) return {ConditionStatus::kUnknown, "Pending"};
  for (std::size_t i = 0; i < context.facts.size(); ++i) {
    if (context.facts[i].shaped) continue;
    std::string reason = context.facts[i].shaped_reason;
    // An interface without a TAP cannot be shaped yet.
    if (reason.empty()) reason = context.facts[i].ready ? "NotShaped" : "WaitingForTap";
    return No(std::move(reason),
              fmt::format("interface {} does not have its rates: it is held to unshapedRate",
                          context.lease->interfaces[i].name));
  }
  return No("NotShaped");
}

Answer Restored(const Report& report) {
  const Context& context = report.context;
  if (const Block* block = BlockOf(context, condition::kRestored)) return Blocked(*block);
  if (context.observed.run_boots) return Yes("Booted", "restarted by booting (spec.restartMode)");
  if (IsUp(context)) return Yes("Resumed");
  if (!report.memory.failure.empty()) {
    return No(report.memory.failure_reason, report.memory.failure);
  }
  if (context.observed.recorded) return Yes("Resumed", "and ended since");
  return No("Waiting", fmt::format("for: {}", ToString(report.waiting)));
}

Answer Ended(const Context& context) {
  if (context.observed.exited_clean) {
    return No("GuestShutdown", "the guest switched itself off; restartPolicy leaves it so");
  }
  return No("Exited", "the VMM ended unexpectedly; restartPolicy leaves it so");
}

Answer Ready(const Report& report, crd::VmPhase phase, const crd::Conditions& conditions) {
  const Context& context = report.context;
  if (phase == crd::VmPhase::kTerminating) return No("Terminating");
  if (const Block* block = BlockOf(context)) return Blocked(*block);
  if (!report.memory.pass_error.empty()) return No("LastPassFailed", report.memory.pass_error);
  if (report.waiting == Waiting::kGrace) {
    return No("Stopping",
              "the guest was asked to switch itself off and has "
              "spec.terminationGracePeriodSeconds for it");
  }
  if (context.desired.drained && phase == crd::VmPhase::kStopped) {
    return No("HostDrained",
              fmt::format("spec.drain of Host {} is Stop: it starts again when that is None",
                          context.inputs.host_name));
  }
  if (context.desired.state.power == Power::kStopped) {
    return phase == crd::VmPhase::kStopped ? Yes("Stopped") : No("Stopping");
  }
  if (report.waiting == Waiting::kEnded) return Ended(context);
  if (phase != crd::VmPhase::kRunning && !report.memory.failure.empty()) {
    return No(report.memory.failure_reason, report.memory.failure);
  }
  for (const crd::Condition& condition : conditions) {
    const bool counts =
        condition.type == condition::kScheduled || condition.type == condition::kNetworkReady ||
        condition.type == condition::kNetworkShaped || condition.type == condition::kRestored ||
        condition.type == condition::kSlotGranted;
    if (!counts || condition.status == ConditionStatus::kTrue) continue;
    return No(condition.reason, condition.message);
  }
  if (phase != crd::VmPhase::kRunning) return No("Starting");
  return Yes("Running");
}

bool IsStalled(const Report& report) {
  const Context& context = report.context;
  const Block* block = BlockOf(context);
  if (block != nullptr && block->terminal) return true;
  const std::optional<Error>& refused = report.memory.claim_error;
  if (refused && refused->code == Code::kExhausted &&
      context.vm().spec.admission_policy == crd::AdmissionPolicy::kFailFast) {
    return true;
  }
  return report.memory.refused_generation == context.vm().metadata.generation ||
         (report.waiting == Waiting::kEnded && !context.observed.exited_clean);
}

// The machine does not run as the spec says. The answer tells whether the next start changes that,
// or what prevents it.
std::optional<Answer> RestartRequired(const Context& context) {
  if (!IsUp(context) || !context.inputs.run) return std::nullopt;
  const crd::VirtualMachineSpec& spec = context.vm().spec;
  const vmm::Capabilities* hypervisor =
      FindCapabilities(context.inputs, context.desired.blueprint.hypervisor);
  const std::vector<std::string> fields =
      Differences(*context.inputs.run, spec, MemoryBytes(spec, hypervisor));
  if (fields.empty()) return std::nullopt;
  const std::string list = fmt::format("{}", fmt::join(fields, ", "));
  const std::optional<Block>& block = context.desired.block;
  if (block && block->terminal) {
    return Yes(std::string(block->reason),
               fmt::format("{}: the next start would be refused: {}", list, block->message));
  }
  if (spec.restore_from && spec.restart_mode == crd::RestartMode::kRefork) {
    return Yes("SetBySnapshot",
               fmt::format("{}: each start restores what the snapshot has: set it back, or use "
                           "spec.restartMode Boot",
                           list));
  }
  return Yes("SpecChanged", fmt::format("applies at the next start: {}", list));
}

bool LostNetwork(const Context& context) {
  for (const runtime::InterfaceFacts& facts : context.facts) {
    if (facts.reason == condition::kNetworkLost) return true;
  }
  return false;
}

class Builder {
 public:
  explicit Builder(std::int64_t generation) : generation_(generation) {}
  void Add(std::string_view type, Answer answer) {
    conditions_.push_back({std::string(type), answer.status, std::move(answer.reason),
                           std::move(answer.message), generation_, ""});
  }
  crd::Conditions& conditions() { return conditions_; }

 private:
  std::int64_t generation_;
  crd::Conditions conditions_;
};

}  // namespace

crd::Conditions ConditionsOf(const Report& report, crd::VmPhase phase) {
  const Context& context = report.context;
  Builder builder(context.vm().metadata.generation);
  builder.Add(condition::kScheduled, Scheduled(report));
  if (context.vm().spec.restore_from && !context.observed.run_boots) {
    builder.Add(condition::kSlotGranted, SlotGranted(report));
  }
  builder.Add(condition::kNetworkReady, NetworkReady(report));
  builder.Add(condition::kNetworkShaped, NetworkShaped(report));
  if (context.vm().spec.restore_from) builder.Add(condition::kRestored, Restored(report));
  if (std::optional<Answer> required = RestartRequired(context)) {
    builder.Add(condition::kRestartRequired, *std::move(required));
  }
  if (LostNetwork(context)) {
    builder.Add(condition::kNetworkLost, Yes("TapNotHealed", "a TAP could not be put back"));
  }
  Answer ready = Ready(report, phase, builder.conditions());
  const bool is_ready = ready.status == ConditionStatus::kTrue;
  const bool stalled = !is_ready && IsStalled(report);
  if (stalled) {
    builder.Add(condition::kStalled, Yes(ready.reason, ready.message));
  } else if (!is_ready) {
    builder.Add(condition::kReconciling, Yes(ready.reason, ready.message));
  }
  builder.Add(condition::kReady, std::move(ready));
  return std::move(builder.conditions());
}

}  // namespace forkplane::virtual_machine
