#include "reconcilers/virtual_machine/plan.h"

#include "controller/base/check.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::virtual_machine {
namespace {

using vmm::MachineState;

class Planner {
 public:
  Planner(const Goal& goal, const Sight& sight) : goal_(goal), sight_(sight) {}

  Plan Make() && {
    if (goal_.power == Power::kRunning) {
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
    if (sight_.slot) Do(FreeSlot{});
  }

  // ---- stopped or gone

  void WantEnded() {
    if (sight_.capturing) return Wait(Waiting::kCapture);
    GiveUpSlot();
    const bool gone = goal_.power == Power::kGone;
    if (sight_.machine != MachineState::kAbsent) {
      if (!EndMachine()) return;
    } else if (gone && sight_.leased && !sight_.releasing) {
      Do(Quit{});  // a process that ended by itself has left its cgroup
    }
    ForgetRun();
    if (gone) LetGo();
  }

  // True: the process ends in this plan. False: its guest was asked and has until the deadline.
  bool EndMachine() {
    const bool asks = sight_.machine == MachineState::kRunning && goal_.grace.count() > 0;
    const MonotonicTime deadline = sight_.stopping.value_or(sight_.now) + goal_.grace;
    if (!asks || sight_.now >= deadline) {
      Do(Quit{});
      return true;
    }
    if (!sight_.stopping) Do(BeginStop{});
    // Without a watch nobody would tell us that the guest has followed.
    if (!sight_.watched) Do(Adopt{});
    if (!sight_.asked) Do(AskPowerOff{});
    Wait(Waiting::kGrace);
    plan_.until = deadline;
    return false;
  }

  // After the process is gone: the record goes, and what it says about the next start is kept.
  void ForgetRun() {
    if (!sight_.recorded) return;
    if (goal_.power == Power::kGone) return Do(ClearVmm{});
    if (!goal_.restore && !sight_.run_boots) Do(WriteRun{true});
    Do(ClearVmm{});
    if (goal_.discard_directory) Do(RemoveDirectory{});
  }

  void LetGo() {
    // The directory first: its name is a lease, given back only after it is gone.
    if (sight_.leased && !sight_.releasing) {
      Do(RemoveDirectory{});
      Do(Release{});
    }
    if (sight_.leased) return Wait(Waiting::kRelease);
    if (goal_.finalizer) Do(RemoveFinalizer{});
  }

  // ---- running

  void WantRunning() {
    if (!goal_.finalizer) Do(AddFinalizer{});
    switch (sight_.machine) {
      case MachineState::kRunning:
        return KeepRunning();
      case MachineState::kPaused:
        return GoOn();
      case MachineState::kAbsent:
        return sight_.recorded ? AfterEnd() : Start();
      case MachineState::kLoading:
        return BeginAnew();
      case MachineState::kShutdown:
        if (!sight_.exited_clean) Do(RecordExit{});
        return BeginAnew();
      case MachineState::kFailed:
        return BeginAnew();
    }
  }

  void KeepRunning() {
    if (sight_.stopping) return Restart();
    if (!sight_.watched) Do(Adopt{});
    KeepRecord();
  }

  // Its stop was begun and it is wanted again: the guest may be going down already.
  void Restart() {
    GiveUpSlot();
    if (sight_.capturing) return Wait(Waiting::kCapture);
    EndMachine();
  }

  void KeepRecord() {
    GiveUpSlot();
    if (sight_.recorded) return;
    if (!sight_.run_written) Do(WriteRun{!sight_.restored});
    Do(SetVmm{});
  }

  // Paused: in the middle of a snapshot, left so by one that crashed, or never resumed.
  void GoOn() {
    if (sight_.capturing) return Wait(Waiting::kCapture);
    if (sight_.restored && !sight_.recorded) return BeginAnew();
    if (!sight_.watched) Do(Adopt{});
    Do(Resume{});
    KeepRecord();
  }

  // Only the process ends here; the next look decides with fresh eyes whether it starts again.
  void BeginAnew() {
    Do(Quit{});
    GiveUpSlot();
  }

  void AfterEnd() {
    // What was ended by us, to stop, is no end its policy speaks of.
    const bool again = sight_.stopping || goal_.restart == crd::RestartPolicy::kAlways ||
                       (goal_.restart == crd::RestartPolicy::kOnFailure && !sight_.exited_clean);
    if (!again) {
      GiveUpSlot();
      return Wait(Waiting::kEnded);
    }
    if (goal_.blocked || sight_.backoff) return Start();
    ForgetRun();
  }

  void Start() {
    if (goal_.blocked) return StandBack(Waiting::kBlocked);
    if (sight_.backoff) return StandBack(Waiting::kBackoff);
    if (sight_.releasing) return StandBack(Waiting::kRelease);
    if (!sight_.surplus.empty()) {
      for (const ledger::LeaseId lease : sight_.surplus) Do(ReleaseInterface{lease});
      return StandBack(Waiting::kClaim);
    }
    if (!sight_.claimed) return ClaimAll();
    if (sight_.slot_overheld) return StandBack(Waiting::kNetwork);
    if (!sight_.network_ready) return Wait(Waiting::kNetwork);
    if (goal_.restore && !sight_.slot) return ClaimAll();
    if (goal_.restore && !sight_.slot_granted) return Wait(Waiting::kSlot);
    Begin();
  }

  void ClaimAll() {
    Do(Claim{goal_.restore});
    Wait(Waiting::kClaim);
  }

  void StandBack(Waiting why) {
    GiveUpSlot();
    Wait(why);
  }

  void Begin() {
    Do(CreateDirectory{});
    if (!goal_.restore) Do(WriteRun{true});
    Do(Launch{});
    if (goal_.restore) {
      Do(Load{});
      Do(Resume{});
    }
    GiveUpSlot();
    // Not before the resume: three durable commits are all a fork waits for.
    if (goal_.restore) Do(WriteRun{false});
    Do(SetVmm{});
  }

  const Goal& goal_;
  const Sight& sight_;
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

Plan MakePlan(const Goal& goal, const Sight& sight) { return Planner(goal, sight).Make(); }

}  // namespace forkplane::virtual_machine
