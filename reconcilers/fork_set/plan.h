// What to do about one ForkSet: a pure function of what was observed.
//
// Invariants (held by tests/plan/fork_set):
//   Fixpoint     as many Forks as replicas, ordinals 0 to replicas-1, each with what the template
//                says, give no action.
//   Names        a Fork's name follows from its ordinal, so a repeated creation finds its own.
//   Patience     nothing is done while the cache has not seen what the last pass wrote.
//   Bound        at most max_concurrent Forks are under way (made and not Ready) at a time.
//   Order        ordinals are made from the lowest and taken from the highest.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forkplane::fork_set {

struct Child {
  std::int64_t ordinal = 0;
  bool ready = false;
  bool terminating = false;
  bool outdated = false;  // the template was edited since it was made or last updated
};

struct Observed {
  bool gone = false;          // being deleted: the garbage collector takes its children
  bool cache_behind = false;  // this loop's last writes are not in the cache yet
  bool blocked = false;
  bool takes_snapshot = false;  // the source is a VirtualMachine: one snapshot for the whole set
  bool snapshot = false;
  bool snapshot_ready = false;
  std::int64_t replicas = 0;
  std::int64_t max_concurrent = 0;  // 0: no bound
  std::vector<Child> children;      // by ordinal
};

enum class Waiting : std::uint8_t { kNothing, kCache, kBlocked, kSnapshot, kOthers };
std::string_view ToString(Waiting waiting);

struct CreateSnapshot {
  static constexpr std::string_view kName = "create snapshot";
};
struct CreateFork {
  std::int64_t ordinal = 0;
  std::string Text() const { return fmt::format("create {}", ordinal); }
};
struct UpdateFork {
  std::int64_t ordinal = 0;
  std::string Text() const { return "update " + std::to_string(ordinal); }
};
struct DeleteFork {
  std::int64_t ordinal = 0;
  std::string Text() const { return fmt::format("delete {}", ordinal); }
};

using Action = std::variant<CreateSnapshot, CreateFork, UpdateFork, DeleteFork>;
std::string ToString(const Action& action);

struct Plan {
  std::vector<Action> actions;
  Waiting waiting = Waiting::kNothing;
};
std::string ToString(const Plan& plan);

Plan MakePlan(const Observed& observed);

}  // namespace forkplane::fork_set
