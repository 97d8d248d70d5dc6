#include "reconcilers/virtual_machine/plan.h"

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::virtual_machine {
namespace {

using vmm::MachineState;

class Planner {
 public:
  Planner(const DesiredState& desired, const Observed& observed)
      : desired_(desired), observed_(observed) {}

  Plan Make() && {
    if (desired_.power == Power::kRunning) {
      WantRunning();
    } else {
      WantEnded();
    }
    return std::move(plan_);
  }

 private:
  template <typename A>
  void Do(A action) {
    plan_.actions.emplace_back(std::move(action));
  }
  void Wait(Waiting waiting) { plan_.waiting = waiting; }

  void GiveUpSlot() {
    if (observed_.slot) Do(FreeSlot{});
  }

  // ---- stopped or gone

  void WantEnded() {
    if (observed_.capturing) return Wait(Waiting::kCapture);
    GiveUpSlot();
    const bool gone = desired_.power == Power::kGone;
    if (observed_.machine != MachineState::kAbsent) {
      if (!EndMachine()) return;
    } else if (gone && observed_.leased && !observed_.releasing) {
      Do(Quit{});  // a process that ended by itself has left its cgroup
    }
    ForgetRun();
    if (gone) LetGo();
  }

  // True: the process ends in this plan. False: its guest was asked and has until the deadline.
  bool EndMachine() {
    const bool asks = observed_.machine == MachineState::kRunning && desired_.grace.count() > 0;
    const MonotonicTime deadline = observed_.stopping.value_or(observed_.now) + desired_.grace;
    if (!asks || observed_.now >= deadline) {
      Do(Quit{});
      return true;
    }
    if (!observed_.stopping) Do(BeginStop{});
    // The exit of a process that is not watched is not reported to this daemon.
    if (!observed_.watched) Do(Adopt{});
    if (!observed_.asked) Do(AskPowerOff{});
    Wait(Waiting::kGrace);
    plan_.until = deadline;
    return false;
  }

  // The process is gone: its record is cleared, and what it says about the next start is kept.
  void ForgetRun() {
    if (!observed_.recorded) return;
    if (desired_.power == Power::kGone) return Do(ClearVmm{});
    if (!desired_.restore && !observed_.run_boots) Do(WriteRun{true});
    Do(ClearVmm{});
    if (desired_.discard_directory) Do(RemoveDirectory{});
  }

  void LetGo() {
    // The directory goes before its lease: the lease holds the name.
    if (observed_.leased && !observed_.releasing) {
      Do(RemoveDirectory{});
      Do(Release{});
    }
    if (observed_.leased) return Wait(Waiting::kRelease);
    if (desired_.finalizer) Do(RemoveFinalizer{});
  }

  // ---- running

  void WantRunning() {
    if (!desired_.finalizer) Do(AddFinalizer{});
    switch (observed_.machine) {
      case MachineState::kRunning:
        return KeepRunning();
      case MachineState::kPaused:
        return GoOn();
      case MachineState::kAbsent:
        return observed_.recorded ? AfterEnd() : Start();
      case MachineState::kLoading:
        return BeginAnew();
      case MachineState::kShutdown:
        if (!observed_.exited_clean) Do(RecordExit{});
        return BeginAnew();
      case MachineState::kFailed:
        return BeginAnew();
    }
  }

  void KeepRunning() {
    if (observed_.stopping) return Restart();
    if (!observed_.watched) Do(Adopt{});
    KeepRecord();
  }

  // The machine is wanted again after its stop has begun. The guest may be going down already, so
  // the stop is carried through.
  void Restart() {
    GiveUpSlot();
    if (observed_.capturing) return Wait(Waiting::kCapture);
    EndMachine();
  }

  void KeepRecord() {
    GiveUpSlot();
    if (observed_.recorded) return;
    if (!observed_.run_written) Do(WriteRun{!observed_.restored});
    Do(SetVmm{});
  }

  // The machine is paused by a snapshot that runs, by one that crashed, or was never resumed.
  void GoOn() {
    if (observed_.capturing) return Wait(Waiting::kCapture);
    if (observed_.restored && !observed_.recorded) return BeginAnew();
    if (!observed_.watched) Do(Adopt{});
    Do(Resume{});
    KeepRecord();
  }

  // This plan only ends the process; the next observation decides whether it starts again.
  void BeginAnew() {
    Do(Quit{});
    GiveUpSlot();
  }

  void AfterEnd() {
    // The restart policy does not apply to an end that this daemon caused.
    const bool again =
        observed_.stopping || desired_.restart == crd::RestartPolicy::kAlways ||
        (desired_.restart == crd::RestartPolicy::kOnFailure && !observed_.exited_clean);
    if (!again) {
      GiveUpSlot();
      return Wait(Waiting::kEnded);
    }
    if (desired_.blocked || observed_.backoff) return Start();
    ForgetRun();
  }

  void Start() {
    if (desired_.blocked) return StandBack(Waiting::kBlocked);
    if (observed_.backoff) return StandBack(Waiting::kBackoff);
    if (observed_.releasing) return StandBack(Waiting::kRelease);
    if (!observed_.surplus.empty()) {
      for (const ledger::LeaseId lease : observed_.surplus) Do(ReleaseInterface{lease});
      return StandBack(Waiting::kClaim);
    }
    if (!observed_.claimed) return ClaimAll();
    if (observed_.slot_overheld) return StandBack(Waiting::kNetwork);
    if (!observed_.network_ready) return Wait(Waiting::kNetwork);
    if (desired_.restore && !observed_.slot) return ClaimAll();
    if (desired_.restore && !observed_.slot_granted) return Wait(Waiting::kSlot);
    Begin();
  }

  void ClaimAll() {
    Do(Claim{desired_.restore});
    Wait(Waiting::kClaim);
  }

  void StandBack(Waiting why) {
    GiveUpSlot();
    Wait(why);
  }

  void Begin() {
    Do(CreateDirectory{});
    if (!desired_.restore) Do(WriteRun{true});
    Do(Launch{});
    if (desired_.restore) {
      Do(Load{});
      Do(Resume{});
    }
    GiveUpSlot();
    // These commits come after the resume: a fork waits for three durable commits and no more.
    if (desired_.restore) Do(WriteRun{false});
    Do(SetVmm{});
  }

  const DesiredState& desired_;
  const Observed& observed_;
  Plan plan_;
};

}  // namespace

std::string_view ToString(Power power) {
  switch (power) {
    case Power::kRunning:
      return "running";
    case Power::kStopped:
      return "stopped";
    case Power::kGone:
      return "gone";
  }
  CheckFailed("a power", "out of range");
}

std::string_view ToString(Waiting waiting) {
  switch (waiting) {
    case Waiting::kNothing:
      return "nothing";
    case Waiting::kBlocked:
      return "blocked";
    case Waiting::kClaim:
      return "claim";
    case Waiting::kSlot:
      return "slot";
    case Waiting::kNetwork:
      return "network";
    case Waiting::kBackoff:
      return "backoff";
    case Waiting::kCapture:
      return "capture";
    case Waiting::kGrace:
      return "grace";
    case Waiting::kRelease:
      return "release";
    case Waiting::kEnded:
      return "ended";
  }
  CheckFailed("a reason to wait", "out of range");
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::string ToString(const Plan& plan) {
  return runtime::PlanText(plan.actions,
                           plan.waiting == Waiting::kNothing ? "" : ToString(plan.waiting));
}

Plan MakePlan(const DesiredState& desired, const Observed& observed) {
  return Planner(desired, observed).Make();
}

}  // namespace forkplane::virtual_machine
