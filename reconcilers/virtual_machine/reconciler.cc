#include "reconcilers/virtual_machine/reconciler.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/plan_text.h"
#include "controller/runtime/typed_object.h"
#include "crd/json.h"
#include "reconcilers/virtual_machine/execute.h"
#include "reconcilers/virtual_machine/report.h"

namespace forkplane::virtual_machine {
namespace {

using runtime::Next;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kPassesMax = 8;  // plans executed in one pass before others get their turn
constexpr int kStaleMax = 3;
constexpr seconds kResync{30};
// A run of this length was a success: after it the backoff begins anew.
constexpr std::chrono::minutes kGoodRun{10};

}  // namespace

Result<Next> VirtualMachineReconciler::Reconcile(const std::string& key,
                                                 const std::stop_token& stop) {
  const std::shared_ptr<const crd::VirtualMachine> vm = deps_.vms.Get(key);
  if (!vm || !IsOurs(*vm)) {
    memory_.Forget(key);
    return Next::Done();
  }
  VmMemory& memory = memory_.Of(key, vm->metadata.uid, deps_.clock.Now());
  Result<Pass> pass = Converge(vm, memory, stop);
  memory_.Show(key);
  if (!pass.ok()) {
    if (pass.error().code != Code::kCancelled) ReportFailure(*vm, pass.error(), memory);
    return std::move(pass).error();
  }
  memory.pass_error.clear();
  Publish(pass->context);
  SettleCompute(pass->context, pass->waiting);
  WriteStatus(*pass, memory);
  return NextLook(*pass, memory);
}

// Observes, plans and executes until a plan is empty; that plan says what to wait for.
Result<VirtualMachineReconciler::Pass> VirtualMachineReconciler::Converge(
    const std::shared_ptr<const crd::VirtualMachine>& vm, VmMemory& memory,
    const std::stop_token& stop) {
  int stale = 0;
  for (int round = 0;; ++round) {
    ASSIGN_OR_RETURN(Context context, Observe(deps_, vm, memory));
    NoteEnd(context, memory);
    const Plan plan = MakePlan(context.desired.state, context.observed);
    Remember(context, plan.waiting, memory);
    if (plan.actions.empty() || round == kPassesMax) {
      return Pass{std::move(context), plan.waiting, plan.until};
    }
    Execution execution(deps_, context, memory, stop);
    ASSIGN_OR_RETURN(const bool claim_waits, Run(plan, execution, stale, stop));
    if (claim_waits) return Pass{std::move(context), plan.waiting};
    // The finalizer is gone and the object with it: there is nothing left to observe.
    if (!plan.actions.empty() && std::holds_alternative<RemoveFinalizer>(plan.actions.back())) {
      return Pass{std::move(context), Waiting::kNothing};
    }
  }
}

// Runs the actions in order, up to the first that does not succeed. True: the claim has to wait,
// and observing again would find the same.
Result<bool> VirtualMachineReconciler::Run(const Plan& plan, Execution& execution, int& stale,
                                           const std::stop_token& stop) {
  for (const Action& action : plan.actions) {
    if (stop.stop_requested()) return Cancelled("the pass was stopped");
    const Outcome outcome = execution.Run(action);
    if (outcome == Outcome::kDone) continue;
    const bool too_stale = outcome == Outcome::kStale && ++stale > kStaleMax;
    if (too_stale && execution.NoteIfStart(action)) return false;  // backs off, slot given up
    if (outcome == Outcome::kFailed || too_stale) {
      return Error(execution.error()).WithContext(ToString(action));
    }
    return outcome == Outcome::kWait && std::holds_alternative<Claim>(action);
  }
  return false;
}

void VirtualMachineReconciler::Remember(const Context& context, Waiting waiting, VmMemory& memory) {
  const MonotonicTime now = deps_.clock.Now();
  if (context.observed.claimed && !memory.claimed) memory.claimed = now;
  if (context.observed.slot_granted && !memory.granted) memory.granted = now;
  if (context.observed.network_ready && !memory.network_ready) memory.network_ready = now;
  if (waiting != Waiting::kClaim) memory.claim_error.reset();
  if (context.desired.state.power != Power::kRunning) {
    // The next start is timed from when it is wanted.
    memory.seen = now;
    memory.claimed.reset();
    memory.granted.reset();
    memory.network_ready.reset();
  }
  if (!context.lease) {
    memory.unshaped.reset();
    memory.was_shaped = false;
  } else if (IsShaped(context)) {
    memory.unshaped.reset();
    memory.was_shaped = true;
  } else if (!memory.unshaped) {
    memory.unshaped = now;
  }
}

// The recorded run ended. Each end is counted once, and its Event has the guest's last lines.
void VirtualMachineReconciler::NoteEnd(const Context& context, VmMemory& memory) {
  const bool ended =
      context.observed.recorded && context.machine.state == vmm::MachineState::kAbsent;
  if (!ended || memory.end_noted || context.desired.state.power != Power::kRunning) return;
  if (context.observed.stopping) return;  // this daemon ended it: that is no failure
  const MonotonicTime now = deps_.clock.Now();
  if (memory.running && now - *memory.running > kGoodRun) memory.failures = 0;
  CountFailure(memory, now);
  memory.end_noted = true;
  memory.watched.reset();
  memory.seen = now;
  memory.claimed.reset();
  memory.network_ready.reset();
  memory.granted.reset();
  memory.running.reset();
  const runtime::ObjectReference about = runtime::ReferenceTo(context.vm());
  if (context.observed.exited_clean) {
    deps_.events.Record(about, runtime::EventType::kNormal, "GuestShutdown",
                        "the guest switched itself off");
    return;
  }
  deps_.events.Record(about, runtime::EventType::kWarning, "Exited",
                      WithConsole("the VMM ended unexpectedly",
                                  context.hypervisor->ConsoleTail(context.ref, kConsoleLines)));
}

void VirtualMachineReconciler::Publish(const Context& context) {
  const std::string& uid = context.vm().metadata.uid;
  if (!IsUp(context) || !context.observed.recorded) return deps_.vmm_facts.Retract(uid);
  const int pid = context.machine.process ? context.machine.process->pid : 0;
  const std::optional<RunRecord>& run = context.inputs.run;
  const vmm::Capabilities& capabilities = context.hypervisor->capabilities();
  deps_.vmm_facts.Publish(uid, {.pid = pid,
                                .running = true,
                                .hypervisor = capabilities.name,
                                .cpus = run ? run->cpus : context.vm().spec.cpus,
                                .holds_taps = capabilities.needs_tap});
}

void VirtualMachineReconciler::SettleCompute(const Context& context, Waiting waiting) {
  const std::string& uid = context.vm().metadata.uid;
  const std::optional<RunRecord>& run = context.inputs.run;
  if (context.machine.state != vmm::MachineState::kAbsent) {
    runtime::ComputeAmount amount = context.desired.blueprint.Compute();
    if (run) amount.cpus = run->cpus;
    if (run) amount.memory_bytes = run->memory_bytes;
    return deps_.compute.Hold(uid, amount);
  }
  const bool wanted = context.desired.state.power == Power::kRunning &&
                      waiting != Waiting::kEnded && waiting != Waiting::kBlocked;
  if (!wanted) deps_.compute.Free(uid);
}

void VirtualMachineReconciler::HoldRunning() {
  for (const auto& vm : deps_.vms.List()) {
    const std::optional<ledger::VmLease> lease = deps_.ledger.GetVm(vm->metadata.uid);
    if (!lease || !lease->vmm) continue;
    // A run record that cannot be read counts as the spec says.
    const Lookup<RunRecord> run = ReadRun(deps_.storage, vm->metadata.uid);
    const bool known = run.ok() && *run;
    deps_.compute.Hold(
        vm->metadata.uid,
        {.cpus = known ? (*run)->cpus : vm->spec.cpus,
         .memory_bytes = known ? (*run)->memory_bytes : vm->spec.memory.Value(),
         .upload_bits_per_second = GuaranteedUpload(vm->spec, NetworksOf(deps_, vm->spec), 0)});
  }
}

// A change that waits for the next start gets one Event, when it begins to wait.
void VirtualMachineReconciler::RecordRestartRequired(const Context& context,
                                                     const crd::VirtualMachineStatus& status,
                                                     VmMemory& memory) {
  const crd::Condition* restart =
      crd::FindCondition(status.conditions, crd::condition::kRestartRequired);
  const std::string message = restart == nullptr ? std::string() : restart->message;
  if (memory.last_restart_event == message) return;
  memory.last_restart_event = message;
  if (message.empty()) return;
  deps_.events.Record(runtime::ReferenceTo(context.vm()), runtime::EventType::kNormal,
                      std::string(crd::condition::kRestartRequired), message);
}

// Waiting for what a person may have to mend gets one Event, when it begins.
void VirtualMachineReconciler::RecordWaiting(const Context& context,
                                             const crd::VirtualMachineStatus& status,
                                             VmMemory& memory) {
  const crd::Condition* ready = crd::FindCondition(status.conditions, crd::condition::kReady);
  const bool problem = context.desired.block.has_value() || memory.claim_error.has_value();
  if (!problem || IsUp(context) || context.desired.state.power != Power::kRunning) {
    memory.last_waiting_event.clear();
    return;
  }
  if (ready == nullptr || memory.last_waiting_event == ready->reason) return;
  memory.last_waiting_event = ready->reason;
  deps_.events.Record(runtime::ReferenceTo(context.vm()), runtime::EventType::kWarning,
                      ready->reason, ready->message);
}

void VirtualMachineReconciler::WriteStatus(const Pass& pass, VmMemory& memory) {
  const crd::VirtualMachine& vm = pass.context.vm();
  const Report report{pass.context,      memory,
                      pass.waiting,      deps_.alias_facts.Get(vm.metadata.uid),
                      deps_.clock.Now(), deps_.clock.WallNow()};
  crd::VirtualMachineStatus status = BuildStatus(report);
  RecordWaiting(pass.context, status, memory);
  RecordRestartRequired(pass.context, status, memory);
  memory.last_error_event.clear();
  deps_.statuses.Want(runtime::KeyOf(vm), vm.metadata.uid,
                      runtime::StatusText(vm, std::move(status)));
}

// The pass failed before everything was observed: the last status stays, and Ready has the reason.
void VirtualMachineReconciler::ReportFailure(const crd::VirtualMachine& vm, const Error& error,
                                             VmMemory& memory) {
  memory.pass_error = error.message;
  if (memory.last_error_event != error.message) {
    memory.last_error_event = error.message;
    deps_.events.Record(runtime::ReferenceTo(vm), runtime::EventType::kWarning, "LastPassFailed",
                        error.message);
  }
  crd::VirtualMachineStatus status = vm.status;
  status.observed_generation = vm.metadata.generation;
  crd::SetCondition(status.conditions,
                    {std::string(crd::condition::kReady), crd::ConditionStatus::kFalse,
                     "LastPassFailed", error.message, vm.metadata.generation, ""},
                    deps_.clock.WallNow());
  deps_.statuses.Want(runtime::KeyOf(vm), vm.metadata.uid,
                      runtime::StatusText(vm, std::move(status)));
}

Next VirtualMachineReconciler::NextLook(const Pass& pass, const VmMemory& memory) const {
  const MonotonicTime now = deps_.clock.Now();
  switch (pass.waiting) {
    case Waiting::kBackoff:
      if (memory.not_before > now) return Next::After(memory.not_before - now);
      return Next::After(kResync);
    case Waiting::kCapture:
      return Next::After(milliseconds(200));
    case Waiting::kGrace:  // an earlier end of the process enqueues the key
      return Next::After(std::max<std::chrono::nanoseconds>(*pass.until - now, milliseconds(1)));
    case Waiting::kClaim:
    case Waiting::kNetwork:
    case Waiting::kRelease:
      return Next::After(seconds(1));  // changes enqueue the key; this covers a missed one
    case Waiting::kBlocked:
      return Next::After(seconds(5));
    case Waiting::kSlot:
    case Waiting::kEnded:
    case Waiting::kNothing:
      break;
  }
  if (memory.unshaped && !memory.was_shaped) {
    const auto late = *memory.unshaped + kShapedUnknownMax - now;
    if (late.count() >= 0) return Next::After(late + milliseconds(1));
  }
  return Next::After(kResync);
}

Result<std::string> VirtualMachineReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::VirtualMachine> vm = deps_.vms.Get(key);
  if (!vm) return NotFound("virtual machine " + key);
  if (!IsOurs(*vm)) {
    return NotFound(fmt::format("virtual machine {} is bound to \"{}\", this is host {}", key,
                                vm->spec.host_name, deps_.host_name));
  }
  const VmMemory memory = memory_.Shown(key);
  ASSIGN_OR_RETURN(const Context context, Observe(deps_, vm, memory));
  const Plan plan = MakePlan(context.desired.state, context.observed);
  const DesiredState& desired = context.desired.state;
  const Observed& observed = context.observed;
  const crd::Json json = {
      {"desired",
       {{"power", ToString(desired.power)},
        {"start", desired.restore ? "restore" : "boot"},
        {"hypervisor", context.desired.blueprint.hypervisor},
        {"blocked", context.desired.block ? context.desired.block->message : ""}}},
      {"observed",
       {{"machine", vmm::ToString(observed.machine)},
        {"recorded", observed.recorded},
        {"stopping", observed.stopping.has_value()},
        {"capturing", observed.capturing},
        {"leased", observed.leased},
        {"releasing", observed.releasing},
        {"claimed", observed.claimed},
        {"slot", observed.slot_granted ? "granted" : (observed.slot ? "waiting" : "none")},
        {"networkReady", observed.network_ready},
        {"failures", memory.failures},
        {"lastFailure", memory.failure}}},
      {"plan", runtime::ActionTexts(plan.actions)},
      {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

}  // namespace forkplane::virtual_machine
