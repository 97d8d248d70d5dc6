// Which VMs of this host have lost their object, and that this is said: pure. Nothing is ever
// deleted here: an orphan's VMM keeps running until an operator decides.
//
// Invariants (held by tests/plan/orphan):
//   Fixpoint  what was said already is not said again.
//   Caution   before the store was read completely nothing is an orphan; leases that are being
//             released are not either: their VM ended by our own hand.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forkplane::orphan {

struct Lease {
  std::string uid;
  std::string name;  // "namespace/name"
  bool releasing = false;
};

struct Observed {
  bool synced = false;            // the store was read completely
  std::set<std::string> known;    // uids of the leases' VMs that the store has
  std::vector<Lease> leases;      // what the ledger has
  std::set<std::string> told;     // uids an Event was written for
  std::vector<std::string> held;  // what the board says now
};

// One Event on the Host.
struct Tell {
  std::string uid;
  std::string name;
  std::string Text() const { return fmt::format("tell of {}", name); }
};
// It has an object again, or its lease is gone.
struct ForgetTold {
  std::string uid;
  std::string Text() const { return fmt::format("forget {}", uid); }
};
struct PublishHeld {
  std::vector<std::string> held;  // "namespace/name", sorted
  std::string Text() const { return fmt::format("hold [{}]", fmt::join(held, ", ")); }
};

using Action = std::variant<Tell, ForgetTold, PublishHeld>;
std::string ToString(const Action& action);

std::vector<Action> MakePlan(const Observed& observed);

}  // namespace forkplane::orphan
