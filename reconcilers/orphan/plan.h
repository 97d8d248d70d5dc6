// Which VMs of this host have lost their object, and the Event about each: pure. This loop deletes
// nothing: an orphan's VMM keeps running until an operator decides.
//
// Invariants (held by tests/plan/orphan):
//   Fixpoint  an orphan that was reported is not reported again.
//   Caution   nothing is an orphan before the store was read completely, nor is a VM whose leases
//             are being released: this daemon ended it.
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
  bool synced = false;             // the store was read completely
  std::set<std::string> known;     // uids of the leases' VMs that the store has
  std::vector<Lease> leases;       // what the ledger has
  std::set<std::string> recorded;  // uids an Event was written for
  std::vector<std::string> held;   // what the board says now
};

// One Event on the Host.
struct RecordEvent {
  std::string uid;
  std::string name;
  std::string Text() const { return fmt::format("record event of {}", name); }
};
// The VM has an object again, or its lease is gone.
struct ForgetEvent {
  std::string uid;
  std::string Text() const { return fmt::format("forget event of {}", uid); }
};
struct PublishHeld {
  std::vector<std::string> held;  // "namespace/name", sorted
  std::string Text() const { return fmt::format("hold [{}]", fmt::join(held, ", ")); }
};

using Action = std::variant<RecordEvent, ForgetEvent, PublishHeld>;
std::string ToString(const Action& action);

std::vector<Action> MakePlan(const Observed& observed);

}  // namespace forkplane::orphan
