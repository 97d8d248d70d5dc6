// Where a VirtualMachine runs: a pure function of this host and what was observed.
//
// Invariants (held by tests/plan/scheduler):
//   Fixpoint   a bound VM whose interfaces are known gives no action: hostName is never changed.
//   Ownership  a VM is bound only to a host that exists; a bound VM and its status are its host's.
//   Closed     a host that takes no machines (unschedulable, drained) gets no further machine.
//   Progress   one write binds it, with the finalizer: from then on its host may hold things of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forkplane::scheduler {

struct Observed {
  std::string bound = {};  // spec.hostName; empty: to none yet
  bool gone = false;       // being deleted
  bool finalizer = false;  // the host's: it may hold things of it
  bool closed = false;     // the host takes no machines
  // It is restored and names no interfaces, so it gets those of its snapshot.
  bool awaits_interfaces = false;
  bool captured = false;  // the snapshot's interfaces are known
};

enum class Waiting : std::uint8_t {
  kNothing,
  kHost,    // the host it names is not there
  kClosed,  // the host takes no machines
};
std::string_view ToString(Waiting waiting);

struct Bind {
  std::string host;
  std::string Text() const { return "bind to " + host; }
};

// Writes the snapshot's interfaces into the spec.
struct WriteInterfaces {
  static constexpr std::string_view kName = "write interfaces";
};

using Action = std::variant<Bind, WriteInterfaces>;
std::string ToString(const Action& action);

struct Plan {
  std::vector<Action> actions;
  Waiting waiting = Waiting::kNothing;
};
std::string ToString(const Plan& plan);

// `host`: the only host `serve` knows; placement over many begins here.
Plan MakePlan(const std::string& host, const Observed& observed);

}  // namespace forkplane::scheduler
