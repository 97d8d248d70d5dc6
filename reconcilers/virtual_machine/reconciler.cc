#include "reconcilers/virtual_machine/reconciler.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

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
// A run of this length was a success: the next failure waits as briefly as the first.
constexpr std::chrono::minutes kGoodRun{10};

std::string StatusText(const crd::VirtualMachine& vm, crd::VirtualMachineStatus status) {
  crd::VirtualMachine copy = vm;
  copy.status = std::move(status);
  return crd::DumpJson(copy.ToJson()["status"]);
}

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
    if (pass.error().code != Code::kCancelled) SayTrouble(*vm, pass.error(), memory);
    return std::move(pass).error();
  }
  memory.trouble.clear();
  Publish(pass->scene);
  SettleCompute(pass->scene, pass->waiting);
  Say(*pass, memory);
  return NextLook(*pass, memory);
}

// Observe, plan, execute, until a plan is empty: it says what to wait for.
Result<VirtualMachineReconciler::Pass> VirtualMachineReconciler::Converge(
    const std::shared_ptr<const crd::VirtualMachine>& vm, VmMemory& memory,
    const std::stop_token& stop) {
  int stale = 0;
  for (int round = 0;; ++round) {
    ASSIGN_OR_RETURN(Scene scene, Observe(deps_, vm, memory));
    NoteEnd(scene, memory);
    const Plan plan = MakePlan(scene.desired.goal, scene.sight);
    Remember(scene, plan.waiting, memory);
    if (plan.actions.empty() || round == kPassesMax) {
      return Pass{std::move(scene), plan.waiting, plan.until};
    }
    Execution execution(deps_, scene, memory, stop);
    ASSIGN_OR_RETURN(const bool claim_waits, Run(plan, execution, stale, stop));
    if (claim_waits) return Pass{std::move(scene), plan.waiting};
    // The last finalizer fell: there is nothing left to look at.
    if (!plan.actions.empty() && std::holds_alternative<RemoveFinalizer>(plan.actions.back())) {
      return Pass{std::move(scene), Waiting::kNothing};
    }
  }
}

// The actions in order, up to the first that does not succeed. True: the claim has to wait, so a
// second look would only find the same.
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

void VirtualMachineReconciler::Remember(const Scene& scene, Waiting waiting, VmMemory& memory) {
  const MonotonicTime now = deps_.clock.Now();
  if (scene.sight.claimed && !memory.claimed) memory.claimed = now;
  if (scene.sight.slot_granted && !memory.granted) memory.granted = now;
  if (scene.sight.network_ready && !memory.network_ready) memory.network_ready = now;
  if (waiting != Waiting::kClaim) memory.claim_error.reset();
  if (scene.desired.goal.power != Power::kRunning) {
    // The next start is timed from when it is asked for.
    memory.seen = now;
    memory.claimed.reset();
    memory.granted.reset();
    memory.network_ready.reset();
  }
  if (!scene.lease) {
    memory.unshaped.reset();
    memory.was_shaped = false;
  } else if (IsShaped(scene)) {
    memory.unshaped.reset();
    memory.was_shaped = true;
  } else if (!memory.unshaped) {
    memory.unshaped = now;
  }
}

// The recorded run ended: once per run it counts, and is told with the guest's last words.
void VirtualMachineReconciler::NoteEnd(const Scene& scene, VmMemory& memory) {
  const bool ended = scene.sight.recorded && scene.machine.state == vmm::MachineState::kAbsent;
  if (!ended || memory.end_noted || scene.desired.goal.power != Power::kRunning) return;
  if (scene.sight.stopping) return;  // by us: no failure, nothing to tell
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
  const runtime::ObjectReference about = ReferenceTo(scene.vm());
  if (scene.sight.exited_clean) {
    deps_.events.Record(about, runtime::EventType::kNormal, "GuestShutdown",
                        "the guest switched itself off");
    return;
  }
  deps_.events.Record(about, runtime::EventType::kWarning, "Exited",
                      WithConsole("the VMM ended unexpectedly",
                                  scene.hypervisor->ConsoleTail(scene.ref, kConsoleLines)));
}

void VirtualMachineReconciler::Publish(const Scene& scene) {
  const std::string& uid = scene.vm().metadata.uid;
  if (!IsUp(scene) || !scene.sight.recorded) return deps_.vmm_facts.Retract(uid);
  const int pid = scene.machine.process ? scene.machine.process->pid : 0;
  const std::optional<RunRecord>& run = scene.inputs.run;
  const vmm::Capabilities& capabilities = scene.hypervisor->capabilities();
  deps_.vmm_facts.Publish(uid, {.pid = pid,
                                .running = true,
                                .hypervisor = capabilities.name,
                                .cpus = run ? run->cpus : scene.vm().spec.cpus,
                                .holds_taps = capabilities.needs_tap});
}

void VirtualMachineReconciler::SettleCompute(const Scene& scene, Waiting waiting) {
  const std::string& uid = scene.vm().metadata.uid;
  const std::optional<RunRecord>& run = scene.inputs.run;
  if (scene.machine.state != vmm::MachineState::kAbsent) {
    return deps_.compute.Hold(uid, run ? runtime::ComputeAmount{run->cpus, run->memory_bytes}
                                       : scene.desired.blueprint.Compute());
  }
  const bool wanted = scene.desired.goal.power == Power::kRunning && waiting != Waiting::kEnded &&
                      waiting != Waiting::kBlocked;
  if (!wanted) deps_.compute.Free(uid);
}

void VirtualMachineReconciler::HoldRunning() {
  for (const auto& vm : deps_.vms.List()) {
    const std::optional<ledger::VmLease> lease = deps_.ledger.GetVm(vm->metadata.uid);
    if (!lease || !lease->vmm) continue;
    // One that cannot be read counts as its spec says.
    const Lookup<RunRecord> run = ReadRun(deps_.storage, vm->metadata.uid);
    deps_.compute.Hold(vm->metadata.uid,
                       run.ok() && *run
                           ? runtime::ComputeAmount{(*run)->cpus, (*run)->memory_bytes}
                           : runtime::ComputeAmount{vm->spec.cpus, vm->spec.memory.Value()});
  }
}

// A change that waits for the next start is told once, when it begins to wait.
void VirtualMachineReconciler::TellRestart(const Scene& scene,
                                           const crd::VirtualMachineStatus& status,
                                           VmMemory& memory) {
  const crd::Condition* restart =
      crd::FindCondition(status.conditions, crd::condition::kRestartRequired);
  const std::string message = restart == nullptr ? std::string() : restart->message;
  if (memory.told_restart == message) return;
  memory.told_restart = message;
  if (message.empty()) return;
  deps_.events.Record(ReferenceTo(scene.vm()), runtime::EventType::kNormal,
                      std::string(crd::condition::kRestartRequired), message);
}

// A waiting that a person may have to end is told once, when it begins.
void VirtualMachineReconciler::Tell(const Scene& scene, const crd::VirtualMachineStatus& status,
                                    VmMemory& memory) {
  const crd::Condition* ready = crd::FindCondition(status.conditions, crd::condition::kReady);
  const bool problem = scene.desired.block.has_value() || memory.claim_error.has_value();
  if (!problem || IsUp(scene) || scene.desired.goal.power != Power::kRunning) {
    memory.told.clear();
    return;
  }
  if (ready == nullptr || memory.told == ready->reason) return;
  memory.told = ready->reason;
  deps_.events.Record(ReferenceTo(scene.vm()), runtime::EventType::kWarning, ready->reason,
                      ready->message);
}

void VirtualMachineReconciler::Say(const Pass& pass, VmMemory& memory) {
  const crd::VirtualMachine& vm = pass.scene.vm();
  const Report report{pass.scene,        memory,
                      pass.waiting,      deps_.alias_facts.Get(vm.metadata.uid),
                      deps_.clock.Now(), deps_.clock.WallNow()};
  crd::VirtualMachineStatus status = BuildStatus(report);
  Tell(pass.scene, status, memory);
  TellRestart(pass.scene, status, memory);
  memory.told_trouble.clear();
  deps_.statuses.Want(KeyOf(vm), vm.metadata.uid, StatusText(vm, std::move(status)));
}

// The pass did not get far enough to see everything: the last status stays, with the reason.
void VirtualMachineReconciler::SayTrouble(const crd::VirtualMachine& vm, const Error& error,
                                          VmMemory& memory) {
  memory.trouble = error.message;
  if (memory.told_trouble != error.message) {
    memory.told_trouble = error.message;
    deps_.events.Record(ReferenceTo(vm), runtime::EventType::kWarning, "LastPassFailed",
                        error.message);
  }
  crd::VirtualMachineStatus status = vm.status;
  status.observed_generation = vm.metadata.generation;
  crd::SetCondition(status.conditions,
                    {std::string(crd::condition::kReady), crd::ConditionStatus::kFalse,
                     "LastPassFailed", error.message, vm.metadata.generation, ""},
                    deps_.clock.WallNow());
  deps_.statuses.Want(KeyOf(vm), vm.metadata.uid, StatusText(vm, std::move(status)));
}

Next VirtualMachineReconciler::NextLook(const Pass& pass, const VmMemory& memory) const {
  const MonotonicTime now = deps_.clock.Now();
  switch (pass.waiting) {
    case Waiting::kBackoff:
      if (memory.not_before > now) return Next::After(memory.not_before - now);
      return Next::After(kResync);
    case Waiting::kCapture:
      return Next::After(milliseconds(200));
    case Waiting::kGrace:  // the end of its process wakes us
      return Next::After(std::max<std::chrono::nanoseconds>(*pass.until - now, milliseconds(1)));
    case Waiting::kClaim:
    case Waiting::kNetwork:
    case Waiting::kRelease:
      return Next::After(seconds(1));  // changes wake us; this is for those that cannot
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
  ASSIGN_OR_RETURN(const Scene scene, Observe(deps_, vm, memory));
  const Plan plan = MakePlan(scene.desired.goal, scene.sight);
  crd::Json actions = crd::Json::array();
  for (const Action& action : plan.actions) actions.push_back(ToString(action));
  const Goal& goal = scene.desired.goal;
  const Sight& sight = scene.sight;
  const crd::Json json = {
      {"desired",
       {{"power", ToString(goal.power)},
        {"start", goal.restore ? "restore" : "boot"},
        {"hypervisor", scene.desired.blueprint.hypervisor},
        {"blocked", scene.desired.block ? scene.desired.block->message : ""}}},
      {"observed",
       {{"machine", vmm::ToString(sight.machine)},
        {"recorded", sight.recorded},
        {"stopping", sight.stopping.has_value()},
        {"capturing", sight.capturing},
        {"leased", sight.leased},
        {"releasing", sight.releasing},
        {"claimed", sight.claimed},
        {"slot", sight.slot_granted ? "granted" : (sight.slot ? "waiting" : "none")},
        {"networkReady", sight.network_ready},
        {"failures", memory.failures},
        {"lastFailure", memory.failure}}},
      {"plan", actions},
      {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

}  // namespace forkplane::virtual_machine
