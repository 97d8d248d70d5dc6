// What to do about one Fork: a pure function of what was observed.
//
// Invariants (held by tests/plan/fork):
//   Fixpoint   a Fork whose VM is there and has what the template says gives no action. What
//              somebody writes into the VM stays until the template changes.
//   One child  at most one VirtualMachine and one Snapshot are ever created, with names that follow
//              from the Fork's, and only while nothing stands in the way.
//   Pinned     the VM is created only for a snapshot that is whole, and names its uid.
//   Ownership  an object of that name that is not ours is never touched.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forkplane::fork {

struct Observed {
  bool gone = false;            // being deleted: the garbage collector takes its children
  bool expired = false;         // older than its ttl
  bool blocked = false;         // there is an Obstacle (desire.h)
  bool takes_snapshot = false;  // its source is a VirtualMachine
  bool snapshot = false;        // the snapshot object is there
  bool snapshot_ready = false;
  bool vm = false;  // our VirtualMachine is there
  bool vm_terminating = false;
  bool vm_outdated = false;  // the template was edited since it was last applied
};

enum class Waiting : std::uint8_t { kNothing, kBlocked, kSnapshot, kVm };
std::string_view ToString(Waiting waiting);

struct CreateSnapshot {
  static constexpr std::string_view kName = "create snapshot";
};
struct CreateVm {
  static constexpr std::string_view kName = "create vm";
};
// Brings the VM to the template, as far as its fields may change.
struct UpdateVm {
  static constexpr std::string_view kName = "update vm";
};
struct DeleteSelf {
  static constexpr std::string_view kName = "delete self";
};

using Action = std::variant<CreateSnapshot, CreateVm, UpdateVm, DeleteSelf>;
std::string ToString(const Action& action);

struct Plan {
  std::vector<Action> actions;
  Waiting waiting = Waiting::kNothing;
};
std::string ToString(const Plan& plan);

Plan MakePlan(const Observed& observed);

}  // namespace forkplane::fork
