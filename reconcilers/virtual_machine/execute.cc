#include "reconcilers/virtual_machine/execute.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controller/base/check.h"
#include "controller/base/foreign_text.h"
#include "controller/runtime/converge.h"
#include "controller/runtime/finalizer.h"
#include "controller/runtime/typed_object.h"
#include "crd/well_known.h"
#include "reconcilers/virtual_machine/report.h"

namespace forkplane::virtual_machine {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr milliseconds kRetryFirst{250};
constexpr milliseconds kRetryMax{60'000};
constexpr int kDoublingsMax = 10;

// The result is 0 when `to` lies before `from`: a daemon that starts again finds the slot granted
// before it claims the rest.
std::int64_t Milliseconds(MonotonicTime from, MonotonicTime to) {
  return std::max<std::int64_t>(duration_cast<milliseconds>(to - from).count(), 0);
}

// The failure of such an action is a failed start, which is counted, shown and retried later.
bool Starts(const Action& action) {
  return std::holds_alternative<CreateDirectory>(action) ||
         std::holds_alternative<Launch>(action) || std::holds_alternative<Load>(action) ||
         std::holds_alternative<Resume>(action);
}

}  // namespace

void CountFailure(VmMemory& memory, MonotonicTime now) {
  const int doublings = std::min(memory.failures, kDoublingsMax);
  memory.failures += 1;
  memory.not_before = now + std::min(kRetryMax, kRetryFirst * (1 << doublings));
}

std::string WithConsole(const std::string& message, const std::vector<std::string>& lines) {
  constexpr std::size_t kMessageMax = runtime::kEventMessageBytesMax / 2;
  constexpr std::size_t kLineMax = 200;
  std::string head = message.size() > kMessageMax
                         ? std::string(CutUtf8(message, kMessageMax)).append("...")
                         : message;
  std::string tail;
  // The newest lines matter most; older ones are dropped when the Event would grow too long.
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const std::string shown = CleanForeignText(*line, kLineMax);
    if (head.size() + tail.size() + shown.size() + 32 > runtime::kEventMessageBytesMax) break;
    tail = shown + "\n" + tail;
  }
  if (tail.empty()) return head;
  tail.pop_back();
  return head + "; console:\n" + tail;
}

Outcome Execution::Run(const Action& action) {
  Status status = std::visit([this](const auto& a) { return Do(a); }, action);
  return Settle(action, std::move(status));
}

Outcome Execution::Settle(const Action& action, Status status) {
  if (status.ok()) return Outcome::kDone;
  error_ = std::move(status).error();
  // A refused claim names what is missing; asking again at once would not change it.
  if (std::holds_alternative<Claim>(action) && error_->code != Code::kInternal) {
    memory_.claim_error = error_;
    return Outcome::kWait;
  }
  if (runtime::IsStale(error_->code)) return Outcome::kStale;
  if (error_->code == Code::kCancelled) return Outcome::kFailed;
  return NoteIfStart(action) ? Outcome::kWait : Outcome::kFailed;
}

bool Execution::NoteIfStart(const Action& action) {
  if (!Starts(action)) return false;
  NoteFailure(context_.desired.state.restore ? "RestoreFailed" : "StartFailed", *error_);
  return true;
}

store::ObjectKey Execution::key() const { return runtime::KeyOf(context_.vm()); }

vmm::Hypervisor& Execution::NextDriver() const {
  vmm::Hypervisor* found =
      vmm::FindHypervisor(deps_.hypervisors, context_.desired.blueprint.hypervisor);
  if (found != nullptr) return *found;
  CheckFailed("the blueprint's hypervisor exists", context_.desired.blueprint.hypervisor);
}

// A process that Launch began in this plan belongs to the next driver.
vmm::Hypervisor& Execution::CurrentDriver() const {
  return launched_ ? NextDriver() : *context_.hypervisor;
}

// ---- store and ledger

Status Execution::Do(const AddFinalizer& /*action*/) {
  return runtime::AddFinalizer(deps_.store, key(), uid(), crd::kVmFinalizer);
}

Status Execution::Do(const RemoveFinalizer& /*action*/) {
  RETURN_IF_ERROR(runtime::RemoveFinalizer(deps_.store, key(), uid(), crd::kVmFinalizer));
  deps_.events.Record(runtime::ReferenceTo(context_.vm()), runtime::EventType::kNormal, "Deleted",
                      "its machine, directory and leases are gone from this host");
  return OkStatus();
}

Status Execution::Do(const Claim& action) {
  const crd::ObjectMeta& meta = context_.vm().metadata;
  ledger::VmClaim claim;
  claim.owner = {meta.uid, meta.ns, meta.name};
  claim.interfaces = context_.desired.claims;
  if (action.slot) claim.slot_pool = context_.desired.blueprint.hypervisor;
  claim.fail_fast = context_.vm().spec.admission_policy == crd::AdmissionPolicy::kFailFast;
  RETURN_IF_ERROR(
      deps_.compute.Reserve(uid(), context_.desired.blueprint.Compute(), LimitOf(context_.inputs)));
  if (Result<ledger::VmLease> lease = deps_.ledger.Claim(claim); !lease.ok()) {
    deps_.compute.Free(uid());  // others need not wait for what this one waits for
    return std::move(lease).error();
  }
  memory_.claim_error.reset();
  if (!memory_.claimed) memory_.claimed = deps_.clock.Now();
  return OkStatus();
}

Status Execution::Do(const ReleaseInterface& action) {
  return deps_.ledger.ReleaseInterface(action.lease);
}

Status Execution::Do(const FreeSlot& /*action*/) {
  RETURN_IF_ERROR(deps_.ledger.FreeSlot(uid()));
  memory_.granted.reset();
  return OkStatus();
}

Status Execution::Do(const SetVmm& /*action*/) {
  const std::optional<process::ProcessRecord>& record =
      launched_ ? launched_ : context_.machine.process;
  if (!record) return Conflict("set vmm: the process is gone");
  return deps_.ledger.SetVmm(uid(), ToLedger(*record, context_.lease->cgroup));
}

Status Execution::Do(const ClearVmm& /*action*/) {
  RETURN_IF_ERROR(deps_.ledger.ClearVmm(uid()));
  memory_.end_noted = false;
  if (context_.desired.state.power == Power::kStopped) {
    deps_.events.Record(runtime::ReferenceTo(context_.vm()), runtime::EventType::kNormal, "Stopped",
                        "its VMM has ended, as spec.powerState asks");
  }
  return OkStatus();
}

Status Execution::Do(const Release& /*action*/) { return deps_.ledger.Release(uid()); }

// ---- directory

Status Execution::Do(const CreateDirectory& /*action*/) {
  return deps_.storage.CreateVmDirectory(uid(), context_.lease->vmm_uid);
}

Status Execution::Do(const RemoveDirectory& /*action*/) {
  return deps_.storage.RemoveVmDirectory(uid());
}

Status Execution::Do(const WriteRun& action) {
  const Blueprint& blueprint = context_.desired.blueprint;
  RunRecord record;
  record.boots = action.boots;
  record.hypervisor = blueprint.hypervisor;
  record.cpus = blueprint.cpus;
  record.memory_bytes = static_cast<std::int64_t>(blueprint.memory_bytes);
  record.boot = blueprint.boot;
  return WriteRunRecord(deps_.storage, uid(), record);
}

Status Execution::Do(const RecordExit& /*action*/) {
  if (!context_.lease->vmm) return OkStatus();
  return WriteExitedClean(deps_.storage, uid(), *context_.lease->vmm);
}

// ---- machine

vmm::RestoreSource Execution::RestoreSource() const {
  const Blueprint& blueprint = context_.desired.blueprint;
  return {deps_.storage.SnapshotDirectory(blueprint.snapshot_uid) + "/state",
          context_.files.memory.get(), blueprint.state_format};
}

Result<vmm::MachineSpec> Execution::MachineSpec(std::vector<UniqueFd>& taps) const {
  const Blueprint& blueprint = context_.desired.blueprint;
  const vmm::Capabilities& capabilities = NextDriver().capabilities();
  vmm::MachineSpec spec;
  spec.ref = context_.ref;
  spec.user = context_.lease->vmm_uid;
  spec.group = context_.lease->vmm_uid;
  spec.cpus = static_cast<int>(blueprint.cpus);
  spec.memory_bytes = blueprint.memory_bytes;
  for (const ledger::InterfaceLease& lease : context_.lease->interfaces) {
    vmm::Interface interface { lease.name, ToString(lease.inner_mac) };
    if (capabilities.needs_tap && capabilities.passes_tap_fd) {
      ASSIGN_OR_RETURN(UniqueFd tap, deps_.taps.Dup(lease.number));
      interface.tap_fd = tap.get();
      taps.push_back(std::move(tap));
    }
    spec.interfaces.push_back(std::move(interface));
  }
  if (context_.desired.state.restore) {
    spec.restore = RestoreSource();
    return spec;
  }
  vmm::BootSource boot{context_.files.kernel.get(), context_.files.initramfs.get(),
                       blueprint.boot.cmdline};
  if (!context_.lease->interfaces.empty()) {
    const ledger::InterfaceLease& first = context_.lease->interfaces.front();
    const auto network = deps_.ledger.GetNetwork(first.network_uid);
    if (!network) return NotFound("launch: the network's lease is gone");
    boot.cmdline =
        BootCmdline(boot.cmdline, first.translated ? first.inner_address : first.address,
                    network->parameters.cidr, network->parameters.gateway, blueprint.dns);
  }
  spec.boot = std::move(boot);
  return spec;
}

Status Execution::Do(const Launch& /*action*/) {
  std::vector<UniqueFd> taps;
  ASSIGN_OR_RETURN(const vmm::MachineSpec spec, MachineSpec(taps));
  const MonotonicTime begun = deps_.clock.Now();
  ASSIGN_OR_RETURN(const process::ProcessRecord record, NextDriver().Launch(spec, stop_));
  memory_.timings.spawn = Milliseconds(begun, deps_.clock.Now());
  launched_ = record;
  NoteStarted(record);
  if (!context_.desired.state.restore) NoteResumed();
  return OkStatus();
}

Status Execution::Do(const Load& /*action*/) {
  const MonotonicTime begun = deps_.clock.Now();
  RETURN_IF_ERROR(CurrentDriver().Load(context_.ref, RestoreSource(), stop_));
  memory_.timings.load = Milliseconds(begun, deps_.clock.Now());
  return OkStatus();
}

Status Execution::Do(const Resume& /*action*/) {
  const MonotonicTime begun = deps_.clock.Now();
  RETURN_IF_ERROR(CurrentDriver().Resume(context_.ref));
  if (launched_) {
    memory_.timings.resume = Milliseconds(begun, deps_.clock.Now());
    NoteResumed();
  }
  return OkStatus();
}

Status Execution::Do(const Adopt& /*action*/) {
  if (!context_.machine.process) return OkStatus();  // a driver without processes
  const process::ProcessRecord& record = *context_.machine.process;
  ASSIGN_OR_RETURN(const bool ours, CurrentDriver().Adopt(context_.ref, record));
  if (!ours) return Unavailable("adopt: what answers is not this machine");
  NoteStarted(record);
  return OkStatus();
}

Status Execution::Do(const BeginStop& /*action*/) {
  if (!context_.machine.process) return Conflict("begin stop: the process is gone");
  // The file keeps milliseconds; both sides must have the same time.
  const MonotonicTime now = std::chrono::floor<milliseconds>(deps_.clock.Now());
  RETURN_IF_ERROR(WriteStop(deps_.storage, uid(), *context_.machine.process, now));
  stop_begun_ = now;
  NoteStopping();
  return OkStatus();
}

Status Execution::Do(const AskPowerOff& /*action*/) {
  RETURN_IF_ERROR(CurrentDriver().AskPowerOff(context_.ref));
  memory_.asked = stop_begun_ ? stop_begun_ : context_.observed.stopping;
  return OkStatus();
}

Status Execution::Do(const Quit& /*action*/) {
  RETURN_IF_ERROR(CurrentDriver().Quit(context_.ref));
  memory_.watched.reset();
  if (!stop_begun_ && !context_.observed.stopping) NoteStopping();
  return OkStatus();
}

// ---- memory

void Execution::NoteStarted(const process::ProcessRecord& record) {
  memory_.watched = record;
  // A process that was found running keeps the start time of its status.
  const std::optional<crd::VmmStatus>& shown = context_.vm().status.vmm;
  const bool known = !launched_ && shown && shown->pid == record.pid;
  memory_.started = known ? shown->start_time : FormatTime(deps_.clock.WallNow());
}

void Execution::NoteResumed() {
  const MonotonicTime now = deps_.clock.Now();
  crd::Timings& timings = memory_.timings;
  if (memory_.claimed && memory_.network_ready) {
    timings.network = Milliseconds(*memory_.claimed, *memory_.network_ready);
  }
  if (memory_.claimed && memory_.granted && context_.desired.state.restore) {
    timings.slot_wait = Milliseconds(*memory_.claimed, *memory_.granted);
  }
  timings.total = Milliseconds(memory_.seen, now);
  memory_.running = now;
  memory_.failure.clear();
  memory_.failure_reason.clear();
  const bool restored = context_.desired.state.restore;
  deps_.events.Record(runtime::ReferenceTo(context_.vm()), runtime::EventType::kNormal,
                      restored ? "Restored" : "Started",
                      restored ? "the guest was resumed from its snapshot" : "the guest boots");
}

void Execution::NoteStopping() {
  const Power power = context_.desired.state.power;
  const char* why = power == Power::kGone      ? "the VirtualMachine is being deleted"
                    : power == Power::kStopped ? "spec.powerState is Stopped"
                                               : "what runs cannot go on: it is started anew";
  deps_.events.Record(runtime::ReferenceTo(context_.vm()), runtime::EventType::kNormal, "Stopping",
                      why);
}

void Execution::NoteFailure(std::string_view reason, const Error& error) {
  CountFailure(memory_, deps_.clock.Now());
  memory_.failure_reason = reason;
  memory_.failure = error.message;
  if (error.code == Code::kInvalid) memory_.refused_generation = context_.vm().metadata.generation;
  deps_.events.Record(
      runtime::ReferenceTo(context_.vm()), runtime::EventType::kWarning, memory_.failure_reason,
      WithConsole(error.message, NextDriver().ConsoleTail(context_.ref, kConsoleLines)));
}

}  // namespace forkplane::virtual_machine
