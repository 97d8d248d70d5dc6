// What to do about one Snapshot: a pure function of what is desired and what was observed.
//
// Invariants (held by tests/plan/snapshot):
//   Fixpoint   a committed snapshot whose memory is held (where it must be) gives no action.
//   Whole      a capture is Begin, Capture, WriteDown, Commit, in this order and in one plan. An
//              interrupted capture is never continued, always begun anew.
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

struct Desired {
  bool gone = false;       // being deleted
  bool finalizer = false;  // the object has our finalizer
  bool refused = false;    // the spec asks for what is not supported
  bool pinned = false;     // a Fork or a VM uses it; read from the store when `gone`
};

struct Observed {
  bool committed = false;     // its directory is complete
  bool damaged = false;       // its directory exists and cannot be read
  bool holds_memory = false;  // its hypervisor maps templates
  bool held = false;          // the holder has the template
  bool source_ready = false;  // the source runs and can be captured
  bool backoff = false;       // the last capture failed a moment ago
  bool given_up = false;      // the capture failed too often
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
// Writes memory and the description of the machine into the stage.
struct WriteDown {
  static constexpr std::string_view kName = "write down";
};
struct Commit {
  static constexpr std::string_view kName = "commit";
};
// Makes the captured memory the template.
struct Keep {
  static constexpr std::string_view kName = "keep";
};
// Makes the template from the file, when no holder has it (any more).
struct LoadTemplate {
  static constexpr std::string_view kName = "load template";
};
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

Plan MakePlan(const Desired& desired, const Observed& observed);

}  // namespace forkplane::snapshot
