// What to do about one VirtualMachine: a pure function of what is desired and what was observed.
//
// Invariants (held by tests/plan/virtual_machine):
//   Fixpoint    a machine that is as wanted, with its record kept and no slot, gives no action.
//   Progress    executing a plan without errors leads to a state whose plan is smaller or waits for
//               another loop (tap, restore_slot, ledger, snapshot), never to the same plan.
//   Identity    Launch is planned only when every interface is ready, and of a restored machine
//               only with a granted slot: no guest instruction runs before its identity is in
//               place.
//   One resume  a machine that was restored and not seen resumed is ended and begun anew; Resume
//               of a found machine is planned only when its record says that it ran before.
//   Grace       a running guest is asked to switch itself off before Quit and has its grace period,
//               counted from BeginStop. A stop that has begun is carried through even when the
//               machine is wanted again, so that Stopped and back is always a restart.
//   Order       Quit before ClearVmm before RemoveDirectory before Release before RemoveFinalizer;
//               CreateDirectory before Launch; Claim before all of them.
//   Slots       a slot is given up as soon as the guest runs, and by every plan that cannot use it
//               soon (blocked, backing off, network too late).
//   Ownership   only this VM's process, directory, leases and finalizer are touched.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controller/base/clock.h"
#include "controller/ledger/records.h"
#include "crd/virtual_machine.h"
#include "drivers/vmm/hypervisor.h"

namespace forkplane::virtual_machine {

enum class Power : std::uint8_t { kRunning, kStopped, kGone };
std::string_view ToString(Power power);

// The part of Desired (desire.h) that decides what is done next.
struct DesiredState {
  Power power = Power::kGone;
  bool finalizer = false;  // the object has our finalizer
  bool blocked = false;    // no start may begin: something that the spec names is missing
  bool restore = false;    // the next start loads a snapshot; false: boots
  // A stopped or ended machine that will be restored again loses its directory: its disks were
  // written after the snapshot was taken.
  bool discard_directory = false;
  crd::RestartPolicy restart = crd::RestartPolicy::kOnFailure;
  std::chrono::milliseconds grace{0};
};

struct Observed {
  vmm::MachineState machine = vmm::MachineState::kAbsent;
  bool restored = false;   // the process was begun from a snapshot
  bool capturing = false;  // a snapshot is being taken: the machine is left alone
  bool watched = false;    // this daemon launched or adopted the process
  // The ledger has a VMM record and, if there is a process, it is that one: the guest has run.
  bool recorded = false;
  bool run_written = false;   // run.json is there
  bool run_boots = false;     // run.json says that it booted, or is to boot next time
  bool exited_clean = false;  // exit.json of the recorded process: the guest switched itself off
  // When a daemon, this one or an earlier one, began to stop this process (stop.json).
  std::optional<MonotonicTime> stopping;
  bool asked = false;  // this daemon asked the guest to switch itself off
  MonotonicTime now{};

  bool leased = false;
  bool releasing = false;
  bool claimed = false;                  // every wanted interface has its active lease
  std::vector<ledger::LeaseId> surplus;  // active leases that are not wanted (any more)
  bool slot = false;                     // asked for
  bool slot_granted = false;
  bool slot_overheld = false;  // granted for too long while the network is not ready
  bool network_ready = false;
  bool backoff = false;  // the last attempt failed a moment ago
};

// What the loop waits for after the plan.
enum class Waiting : std::uint8_t {
  kNothing,
  kBlocked,
  kClaim,  // the claim was refused, or is being released
  kSlot,
  kNetwork,
  kBackoff,
  kCapture,
  kGrace,    // the guest was asked to switch itself off and has time for it
  kRelease,  // tap and shaping have not confirmed yet
  kEnded,    // ended, and not to be started again
};
std::string_view ToString(Waiting waiting);

struct AddFinalizer {
  static constexpr std::string_view kName = "add finalizer";
};
struct Claim {
  bool slot = false;
  std::string Text() const { return slot ? "claim with slot" : "claim"; }
};
struct ReleaseInterface {
  ledger::LeaseId lease = 0;
  std::string Text() const { return fmt::format("release interface {}", lease); }
};
struct CreateDirectory {
  static constexpr std::string_view kName = "create directory";
};
// Writes what runs (run.json), for RestartRequired and for the next daemon. Planned before a boot
// and after a restore.
struct WriteRun {
  bool boots = false;
  std::string Text() const { return boots ? "write boot" : "write restore"; }
};
struct Launch {
  static constexpr std::string_view kName = "launch";
};
struct Load {
  static constexpr std::string_view kName = "load";
};
struct Resume {
  static constexpr std::string_view kName = "resume";
};
struct FreeSlot {
  static constexpr std::string_view kName = "free slot";
};
struct SetVmm {
  static constexpr std::string_view kName = "set vmm";
};
struct Adopt {
  static constexpr std::string_view kName = "adopt";
};
struct RecordExit {
  static constexpr std::string_view kName = "record exit";
};
// Makes the begin of the stop durable before the guest is asked: its grace period runs from here.
struct BeginStop {
  static constexpr std::string_view kName = "begin stop";
};
struct AskPowerOff {
  static constexpr std::string_view kName = "ask power off";
};
struct Quit {
  static constexpr std::string_view kName = "quit";
};
struct ClearVmm {
  static constexpr std::string_view kName = "clear vmm";
};
struct RemoveDirectory {
  static constexpr std::string_view kName = "remove directory";
};
struct Release {
  static constexpr std::string_view kName = "release";
};
struct RemoveFinalizer {
  static constexpr std::string_view kName = "remove finalizer";
};

using Action = std::variant<AddFinalizer, Claim, ReleaseInterface, CreateDirectory, WriteRun,
                            Launch, Load, Resume, FreeSlot, SetVmm, Adopt, RecordExit, BeginStop,
                            AskPowerOff, Quit, ClearVmm, RemoveDirectory, Release, RemoveFinalizer>;
std::string ToString(const Action& action);

struct Plan {
  std::vector<Action> actions;
  Waiting waiting = Waiting::kNothing;  // after the actions
  std::optional<MonotonicTime> until;   // kGrace: when it ends, whatever the guest does
};
// "claim with slot; wait: network"
std::string ToString(const Plan& plan);

Plan MakePlan(const DesiredState& desired, const Observed& observed);

}  // namespace forkplane::virtual_machine
