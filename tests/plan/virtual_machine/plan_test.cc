// Goal: every situation of a VirtualMachine has the plan a person would write down, and the
// invariants of plan.h hold in all of them. Method: a table of named situations, and a sweep over
// every combination of desired and observed.
#include "reconcilers/virtual_machine/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/convergence/support.h"

namespace forkplane::virtual_machine {
namespace {

using crd::RestartPolicy;
using std::chrono::milliseconds;
using vmm::MachineState;

DesiredState Boots() {
  DesiredState desired;
  desired.power = Power::kRunning;
  desired.finalizer = true;
  desired.grace = milliseconds(10'000);
  return desired;
}

DesiredState Restores() {
  DesiredState desired = Boots();
  desired.restore = true;
  desired.discard_directory = true;
  desired.restart = RestartPolicy::kNever;
  return desired;
}

DesiredState With(DesiredState desired, Power power) {
  desired.power = power;
  return desired;
}

Observed Leased() {
  Observed observed;
  observed.leased = true;
  observed.claimed = true;
  return observed;
}

Observed Ready() {
  Observed observed = Leased();
  observed.network_ready = true;
  return observed;
}

Observed Granted() {
  Observed observed = Ready();
  observed.slot = true;
  observed.slot_granted = true;
  return observed;
}

Observed Up() {
  Observed observed = Ready();
  observed.machine = MachineState::kRunning;
  observed.watched = true;
  observed.recorded = true;
  observed.run_written = true;
  return observed;
}

Observed Booted() {
  Observed observed = Up();
  observed.run_boots = true;
  return observed;
}

constexpr MonotonicTime kNow{std::chrono::hours(1)};

// Asked so many milliseconds ago.
Observed Stopping(Observed observed, int since) {
  observed.now = kNow;
  observed.stopping = kNow - milliseconds(since);
  observed.asked = true;
  return observed;
}

Observed Overdue(Observed observed) { return Stopping(observed, 3'600'000); }

Observed Change(Observed observed, const std::function<void(Observed&)>& change) {
  change(observed);
  return observed;
}

struct Row {
  const char* name;
  DesiredState desired;
  Observed observed;
  const char* plan;
};

std::vector<Row> StartRows() {
  DesiredState unheld = Boots();
  unheld.finalizer = false;
  DesiredState blocked = Restores();
  blocked.blocked = true;
  return {
      {"AUsersVmGetsItsFinalizerFirst", unheld, Observed{}, "add finalizer; claim; wait: claim"},
      {"NothingIsClaimedForABlockedVm", blocked, Observed{}, "wait: blocked"},
      {"ABlockedVmGivesItsSlotUp", blocked, Granted(), "free slot; wait: blocked"},
      {"ARestoreClaimsItsSlotWithTheRest", Restores(), Observed{}, "claim with slot; wait: claim"},
      {"ABootTakesNoSlot", Boots(), Observed{}, "claim; wait: claim"},
      {"NothingIsLaunchedBeforeTheNetwork", Boots(), Leased(), "wait: network"},
      {"ASlotIsNotHeldForALateNetwork", Restores(),
       Change(Granted(),
              [](Observed& s) {
                s.network_ready = false;
                s.slot_overheld = true;
              }),
       "free slot; wait: network"},
      {"AFreedSlotIsAskedForAgain", Restores(), Ready(), "claim with slot; wait: claim"},
      {"ARestoreWaitsForItsTurn", Restores(),
       Change(Granted(), [](Observed& s) { s.slot_granted = false; }), "wait: slot"},
      {"ABoot", Boots(), Ready(), "create directory; write boot; launch; set vmm"},
      {"ARestoreIsLoadedThenResumedThenRecorded", Restores(), Granted(),
       "create directory; launch; load; resume; free slot; write restore; set vmm"},
      {"AFailedStartGivesItsSlotUp", Restores(),
       Change(Granted(), [](Observed& s) { s.backoff = true; }), "free slot; wait: backoff"},
      {"InterfacesThatAreNotWantedGoFirst", Boots(),
       Change(Ready(),
              [](Observed& s) {
                s.claimed = false;
                s.surplus = {7};
              }),
       "release interface 7; wait: claim"},
      {"LeasesBeingReleasedAreNotClaimed", Boots(),
       Change(Leased(), [](Observed& s) { s.releasing = true; }), "wait: release"},
  };
}

std::vector<Row> MachineRows() {
  return {
      {"ARunningVmIsLeftAlone", Boots(), Up(), ""},
      {"ARunningVmIsAdoptedAfterARestart", Boots(),
       Change(Up(), [](Observed& s) { s.watched = false; }), "adopt"},
      {"AResumedGuestWhoseRecordWasLostInACrash", Restores(),
       Change(Granted(),
              [](Observed& s) {
                s.machine = MachineState::kRunning;
                s.restored = true;
              }),
       "adopt; free slot; write restore; set vmm"},
      {"AGuestThatNeverRanIsBegunAnew", Restores(),
       Change(Granted(),
              [](Observed& s) {
                s.machine = MachineState::kLoading;
                s.restored = true;
              }),
       "quit; free slot"},
      {"ALoadedGuestThatWasNotResumedIsBegunAnew", Restores(),
       Change(Granted(),
              [](Observed& s) {
                s.machine = MachineState::kPaused;
                s.restored = true;
              }),
       "quit; free slot"},
      {"ASourceLeftPausedByACrashGoesOn", Boots(),
       Change(Up(),
              [](Observed& s) {
                s.machine = MachineState::kPaused;
                s.watched = false;
              }),
       "adopt; resume"},
      {"ACaptureIsLeftAlone", Boots(),
       Change(Up(),
              [](Observed& s) {
                s.machine = MachineState::kPaused;
                s.capturing = true;
              }),
       "wait: capture"},
      {"AShutdownIsRecordedBeforeItsProcessEnds", Boots(),
       Change(Up(), [](Observed& s) { s.machine = MachineState::kShutdown; }), "record exit; quit"},
      {"AFailedVmmIsEnded", Boots(),
       Change(Up(), [](Observed& s) { s.machine = MachineState::kFailed; }), "quit"},
  };
}

std::vector<Row> EndRows() {
  const auto ended = [](Observed& s) { s.machine = MachineState::kAbsent; };
  const auto shut_down = [](Observed& s) {
    s.machine = MachineState::kAbsent;
    s.exited_clean = true;
  };
  DesiredState always = Boots();
  always.restart = RestartPolicy::kAlways;
  DesiredState refork = Restores();
  refork.restart = RestartPolicy::kAlways;
  DesiredState boots_next = Restores();
  boots_next.restore = false;
  boots_next.discard_directory = false;
  const Observed booted = Booted();
  return {
      {"ACrashIsFollowedByAStart", Boots(), Change(booted, ended), "clear vmm"},
      {"AShutdownIsRespected", Boots(), Change(booted, shut_down), "wait: ended"},
      {"AlwaysMeansAlways", always, Change(booted, shut_down), "clear vmm"},
      {"ARestoredVmStaysDown", Restores(), Change(Up(), ended), "wait: ended"},
      {"AReforkThrowsTheOldDiskAway", refork, Change(Up(), ended), "clear vmm; remove directory"},
      {"ACrashWaitsForItsBackoff", Boots(),
       Change(booted,
              [](Observed& s) {
                s.machine = MachineState::kAbsent;
                s.backoff = true;
              }),
       "wait: backoff"},
      {"StopKeepsTheLeases", With(Boots(), Power::kStopped), Overdue(booted), "quit; clear vmm"},
      {"ARestoredVmThatBootsNextRemembersIt", With(boots_next, Power::kStopped), Overdue(Up()),
       "quit; write boot; clear vmm"},
      {"AStoppedVmIsLeftAlone", With(Boots(), Power::kStopped), Leased(), ""},
      {"ADeletedVmLosesEverythingInOrder", With(Boots(), Power::kGone), Overdue(booted),
       "quit; clear vmm; remove directory; release; wait: release"},
      {"OneThatEndedByItselfLeavesNothingBehind", With(Boots(), Power::kGone),
       Change(booted, shut_down), "quit; clear vmm; remove directory; release; wait: release"},
      {"AGuestThatNeverRanGetsNoGrace", With(Restores(), Power::kGone),
       Change(Granted(), [](Observed& s) { s.machine = MachineState::kLoading; }),
       "free slot; quit; remove directory; release; wait: release"},
      {"TheFinalizerWaitsForTheLeases", With(Boots(), Power::kGone),
       Change(Leased(), [](Observed& s) { s.releasing = true; }), "wait: release"},
      {"TheFinalizerFallsLast", With(Boots(), Power::kGone), Observed{}, "remove finalizer"},
      {"ADeletionWaitsForACapture", With(Boots(), Power::kGone),
       Change(Up(), [](Observed& s) { s.capturing = true; }), "wait: capture"},
  };
}

std::vector<Row> GraceRows() {
  const DesiredState stopped = With(Boots(), Power::kStopped);
  DesiredState no_grace = stopped;
  no_grace.grace = milliseconds(0);
  DesiredState longer = stopped;
  longer.grace = milliseconds(60'000);
  const auto unwatched = [](Observed& s) { s.watched = false; };
  const auto unasked = [](Observed& s) { s.asked = false; };
  const auto paused = [](Observed& s) { s.machine = MachineState::kPaused; };
  const auto ended = [](Observed& s) {
    s.machine = MachineState::kAbsent;
    s.exited_clean = true;
  };
  Observed with_slot = Stopping(Booted(), 0);
  with_slot.slot = true;
  return {
      {"TheWaitIsOnRecordBeforeTheGuestIsAsked", stopped, Booted(),
       "begin stop; ask power off; wait: grace"},
      {"TheGuestIsAskedOnce", stopped, Stopping(Booted(), 3'000), "wait: grace"},
      {"ANewDaemonListensForTheEndAndAsksToo", stopped,
       Change(Change(Stopping(Booted(), 3'000), unwatched), unasked),
       "adopt; ask power off; wait: grace"},
      {"UntilTheLastMillisecond", stopped, Stopping(Booted(), 9'999), "wait: grace"},
      {"ThenItIsEnded", stopped, Stopping(Booted(), 10'000), "quit; clear vmm"},
      {"AlsoWhenItCouldNotBeAsked", stopped, Change(Stopping(Booted(), 10'000), unasked),
       "quit; clear vmm"},
      {"ALongerPeriodHoldsAtOnce", longer, Stopping(Booted(), 10'000), "wait: grace"},
      {"NoPeriodMeansAtOnce", no_grace, Booted(), "quit; clear vmm"},
      {"APausedGuestHearsNothing", stopped, Change(Booted(), paused), "quit; clear vmm"},
      {"NoSlotIsHeldMeanwhile", stopped, with_slot, "free slot; wait: grace"},
      {"WantedAgainItIsStillAskedToStop", Boots(), Stopping(Booted(), 3'000), "wait: grace"},
      {"WantedAgainItIsEndedAtTheDeadline", Boots(), Stopping(Booted(), 10'000), "quit"},
      {"AndStartedAnewWhateverItsPolicy", Boots(), Change(Stopping(Booted(), 3'000), ended),
       "clear vmm"},
  };
}

class PlanTable : public testing::TestWithParam<Row> {};

TEST_P(PlanTable, IsAsWritten) {
  EXPECT_EQ(ToString(MakePlan(GetParam().desired, GetParam().observed)), GetParam().plan);
}

std::string NameOf(const testing::TestParamInfo<Row>& row) { return row.param.name; }
INSTANTIATE_TEST_SUITE_P(Start, PlanTable, testing::ValuesIn(StartRows()), NameOf);
INSTANTIATE_TEST_SUITE_P(Machine, PlanTable, testing::ValuesIn(MachineRows()), NameOf);
INSTANTIATE_TEST_SUITE_P(End, PlanTable, testing::ValuesIn(EndRows()), NameOf);
INSTANTIATE_TEST_SUITE_P(Grace, PlanTable, testing::ValuesIn(GraceRows()), NameOf);

TEST(PlanTest, TheLoopIsToldWhenTheGracePeriodEnds) {
  const Plan first = MakePlan(With(Boots(), Power::kStopped), Up());
  EXPECT_EQ(first.until, Up().now + milliseconds(10'000));
  const Observed later = Stopping(Up(), 3'000);
  EXPECT_EQ(MakePlan(With(Boots(), Power::kStopped), later).until, later.now + milliseconds(7'000));
}

// ---- every combination -------------------------------------------------------------------------

template <typename A>
std::ptrdiff_t At(const Plan& plan) {
  const auto found = std::find_if(plan.actions.begin(), plan.actions.end(),
                                  [](const Action& a) { return std::holds_alternative<A>(a); });
  return found == plan.actions.end() ? -1 : found - plan.actions.begin();
}

template <typename First, typename Second>
bool InOrder(const Plan& plan) {
  return At<First>(plan) < 0 || At<Second>(plan) < 0 || At<First>(plan) < At<Second>(plan);
}

struct World {
  DesiredState desired;
  Observed observed;
};

constexpr unsigned kDesiredBits = 5;
constexpr unsigned kObservedBits = 14;

World WorldOf(Power power, MachineState machine, unsigned goal_bits, unsigned bits) {
  const auto desired_bit = [goal_bits](unsigned n) { return (goal_bits >> n & 1U) != 0; };
  const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
  World world;
  world.desired.power = power;
  world.desired.finalizer = desired_bit(0);
  world.desired.blocked = desired_bit(1);
  world.desired.restore = desired_bit(2);
  world.desired.discard_directory = desired_bit(2);
  world.desired.restart = desired_bit(3)   ? RestartPolicy::kAlways
                          : desired_bit(4) ? RestartPolicy::kNever
                                           : RestartPolicy::kOnFailure;
  Observed& s = world.observed;
  s.machine = machine;
  s.restored = bit(0);
  s.capturing = bit(1) && machine != MachineState::kAbsent;
  s.watched = bit(2);
  s.leased = bit(3);
  s.recorded = bit(4) && s.leased;
  s.run_written = bit(5) && s.leased;
  s.run_boots = bit(6) && s.run_written;
  s.exited_clean = bit(7) && s.recorded;
  s.releasing = bit(8) && s.leased;
  s.claimed = bit(9) && s.leased && !s.releasing;
  if (bit(10) && s.leased && !s.claimed) s.surplus = {7};
  s.slot = bit(11) && s.leased;
  s.slot_granted = bit(12) && s.slot;
  s.network_ready = bit(13) && s.claimed;
  return world;
}

enum class Stop : std::uint8_t { kNone, kBegun, kAsked, kOver };

void SetStop(Stop stop, World& world) {
  world.desired.grace = milliseconds(10'000);
  world.observed.now = kNow;
  if (stop == Stop::kNone) return;
  world.observed.stopping = kNow - milliseconds(stop == Stop::kOver ? 10'000 : 9'999);
  world.observed.asked = stop == Stop::kAsked;
}

void CheckOrder(const Plan& plan) {
  EXPECT_TRUE((InOrder<BeginStop, AskPowerOff>(plan)));
  EXPECT_TRUE((InOrder<Quit, ClearVmm>(plan)));
  EXPECT_TRUE((InOrder<ClearVmm, RemoveDirectory>(plan)));
  EXPECT_TRUE((InOrder<RemoveDirectory, Release>(plan)));
  EXPECT_TRUE((InOrder<CreateDirectory, Launch>(plan)));
  EXPECT_TRUE((InOrder<Launch, Load>(plan)));
  EXPECT_TRUE((InOrder<Load, Resume>(plan)));
  EXPECT_TRUE((InOrder<Resume, FreeSlot>(plan)));
  EXPECT_TRUE((InOrder<Resume, SetVmm>(plan)));
}

void CheckIdentity(const World& world, const Plan& plan) {
  if (At<Launch>(plan) >= 0) {
    EXPECT_TRUE(world.observed.network_ready);
    EXPECT_TRUE(!world.desired.restore || world.observed.slot_granted);
    EXPECT_EQ(world.observed.machine, MachineState::kAbsent);
    EXPECT_FALSE(world.desired.blocked);
  } else if (At<Resume>(plan) >= 0) {
    EXPECT_EQ(world.observed.machine, MachineState::kPaused);
    EXPECT_TRUE(world.observed.recorded || !world.observed.restored) << "resumed twice";
  }
}

void CheckEnds(const World& world, const Plan& plan) {
  if (At<Release>(plan) >= 0 || At<RemoveFinalizer>(plan) >= 0) {
    EXPECT_EQ(world.desired.power, Power::kGone);
  }
  if (At<RemoveFinalizer>(plan) >= 0) {
    EXPECT_FALSE(world.observed.leased);
  }
  if (At<Release>(plan) >= 0) {
    EXPECT_GE(At<Quit>(plan), 0) << "a process that ended by itself leaves its cgroup";
  }
  if (world.observed.capturing && world.observed.machine == MachineState::kPaused) {
    EXPECT_LT(At<Quit>(plan), 0) << "a capture is left alone";
    EXPECT_LT(At<Resume>(plan), 0) << "a capture is left alone";
  }
  const bool up = world.observed.machine == MachineState::kRunning;
  if (world.desired.power == Power::kRunning && up && world.observed.slot) {
    EXPECT_GE(At<FreeSlot>(plan), 0) << "a slot is kept by a running guest";
  }
}

// A running guest is not ended before its period is over, and no longer after it.
void CheckGrace(const World& world, const Plan& plan) {
  const bool runs = world.observed.machine == MachineState::kRunning;
  const std::optional<MonotonicTime>& begun = world.observed.stopping;
  const bool over = begun && world.observed.now - *begun >= world.desired.grace;
  if (runs && At<Quit>(plan) >= 0) {
    EXPECT_TRUE(over);
  }
  if (runs && over && !world.observed.capturing) {
    EXPECT_GE(At<Quit>(plan), 0);
  }
  EXPECT_EQ(plan.until.has_value(), plan.waiting == Waiting::kGrace);
  if (plan.waiting == Waiting::kGrace) {
    EXPECT_TRUE(begun || At<BeginStop>(plan) >= 0) << "a wait that nobody recorded";
    EXPECT_LT(At<ClearVmm>(plan), 0);
    EXPECT_LT(At<Release>(plan), 0);
  }
}

void CheckEveryWorld(Power power, MachineState state, Stop stop) {
  // Under sanitizers, a seventeenth of them: odd, so that every bit is seen in both states.
  const unsigned step = convergence::Depth() == 0 ? 17 : 1;
  for (unsigned desired = 0; desired < (1U << kDesiredBits); ++desired) {
    for (unsigned observed = desired % step; observed < (1U << kObservedBits); observed += step) {
      World world = WorldOf(power, state, desired, observed);
      SetStop(stop, world);
      const Plan plan = MakePlan(world.desired, world.observed);
      CheckOrder(plan);
      CheckIdentity(world, plan);
      CheckEnds(world, plan);
      CheckGrace(world, plan);
      if (testing::Test::HasFailure()) FAIL() << ToString(plan);
    }
  }
}

class EveryWorldTest : public ::testing::TestWithParam<Power> {};

INSTANTIATE_TEST_SUITE_P(Powers, EveryWorldTest,
                         ::testing::Values(Power::kRunning, Power::kStopped, Power::kGone),
                         [](const auto& power) {
                           if (power.param == Power::kRunning) return "Running";
                           return power.param == Power::kStopped ? "Stopped" : "Gone";
                         });

TEST_P(EveryWorldTest, InvariantsHold) {
  for (int n = 0; n <= static_cast<int>(MachineState::kFailed); ++n) {
    const auto state = static_cast<MachineState>(n);
    CheckEveryWorld(GetParam(), state, Stop::kNone);
    // A stop is on record of a process that ran, and may have ended since.
    if (state != MachineState::kRunning && state != MachineState::kAbsent) continue;
    for (const Stop stop : {Stop::kBegun, Stop::kAsked, Stop::kOver}) {
      CheckEveryWorld(GetParam(), state, stop);
    }
  }
}

}  // namespace
}  // namespace forkplane::virtual_machine
