// What to do about one Snapshot: a pure function of what is wanted and what was seen.
//
// Invariants (held by tests/plan/snapshot):
//   Fixpoint   a committed snapshot whose memory is held (where it must be) gives no action.
//   Whole      a capture is Begin, Capture, WriteDown, Commit, in this order and in one plan: what
//              an interrupted one left is never continued, always begun anew.
//   Once       a committed or damaged snapshot is never captured again.
//   Source     nothing is captured while the source is not running, nor after too many failures.
//   Pins       nothing of a snapshot that somebody uses is removed.
//   Order      DropTemplate before RemoveFiles before RemoveFinalizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forkplane::snapshot {

struct Goal {
  bool gone = false;       // being deleted
  bool finalizer = false;  // ours is on the object
  bool refused = false;    // asks for what is not supported
  bool pinned = false;     // a fork or a VM uses it; looked up live when gone
};

struct Sight {
  bool committed = false;     // the directory is there, whole
  bool damaged = false;       // it is there and cannot be read
  bool holds_memory = false;  // its hypervisor maps templates
  bool held = false;          // the holder has the template
  bool source_ready = false;  // the source runs and can be captured
  bool backoff = false;       // the last capture failed a moment ago
  bool given_up = false;      // it failed too often
};

enum class Waiting : std::uint8_t {
  kNothing,
  kRefused,
  kSource,
  kBackoff,
  kGivenUp,
  kDamaged,
  kUsers,
};
std::string_view ToString(Waiting waiting);

struct AddFinalizer {
  static constexpr std::string_view kName = "add finalizer";
};
struct Begin {
  static constexpr std::string_view kName = "begin";
};
struct Capture {
  static constexpr std::string_view kName = "capture";
};
struct WriteDown {
  static constexpr std::string_view kName = "write down";
};  // memory and the description of the machine, into the stage
struct Commit {
  static constexpr std::string_view kName = "commit";
};
struct Keep {
  static constexpr std::string_view kName = "keep";
};  // the captured memory becomes the template
struct LoadTemplate {
  static constexpr std::string_view kName = "load template";
};  // from the file, when no holder has it (any more)
struct DropTemplate {
  static constexpr std::string_view kName = "drop template";
};
struct RemoveFiles {
  static constexpr std::string_view kName = "remove files";
};
struct RemoveFinalizer {
  static constexpr std::string_view kName = "remove finalizer";
};

using Action = std::variant<AddFinalizer, Begin, Capture, WriteDown, Commit, Keep, LoadTemplate,
                            DropTemplate, RemoveFiles, RemoveFinalizer>;
std::string ToString(const Action& action);

struct Plan {
  std::vector<Action> actions;
  Waiting waiting = Waiting::kNothing;
};
std::string ToString(const Plan& plan);

Plan MakePlan(const Goal& goal, const Sight& sight);

}  // namespace forkplane::snapshot
