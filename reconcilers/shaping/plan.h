// The rates of one shaping domain (one IFB): class and leaf of every interface for upload; rate,
// burst and limit of each TAP's TBF for download.
//
// Invariants (plan tables and the convergence suite hold them):
//   - Fixpoint: the plan of a world that matches is empty; otherwise its actions, executed on a
//     world that stands still, make it match.
//   - Deletes first, and no class without a lease: a leaked class costs every add (the kernel walks
//     all classes), and a number is free only after this loop saw its class gone.
//   - The rates of all classes together are never above the uplink's capacity (guarantees.h): HTB
//     serves a class below its own rate without asking its parent, so one class too many would
//     break the promise to all others.
//   - Live changes are `change`, never delete and add: counters stay, no packet passes unbounded.
//     Only a class under the wrong parent is made anew (the kernel ignores a new parent).
//   - A narrower bucket starts with an empty queue: what was let in under the wider one may be
//     larger than it ever gets, and would keep the guest from receiving anything.
//   - A class never stands without its byte-bounded leaf longer than one action.
//   - The IFB, its HTB, root and default class are the host loop's; a TBF's existence is the tap
//     loop's. Where they are missing this loop waits, and says for what.
//   - Unknown intent changes nothing: an interface whose VM object is not in the cache keeps the
//     class it has (a lost store must not unshape or reshape a running VM).
//   - Keys are leased numbers. A number is not leased again before this loop confirmed its class
//     absent, and one worker per domain does both: an old intent cannot meet a newer interface
//     (upstream W3 ABA by name, W5 hashed ids, W6 ids in copied files).
// Also excluded: W2 (applied once, never again), W4 (unbounded queue of jobs), W7 (half-made
// pairs), W8 ("htb" in the text means ready; limits never change), W9 and W10 (no process, no
// filter list).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "drivers/qdisc_driver.h"

namespace forkplane::shaping {

// What one interface shall get. Sizes are worked out (rates.h); everything is bytes.
struct Rates {
  drivers::HtbClass htb;  // its minor is the interface's
  drivers::Leaf leaf;
  drivers::Tbf tbf;
  // The upload rate asked for is more than the uplink has, and was lowered to that.
  bool above_capacity = false;
  // Less of the uplink is left than the upload rate asked for.
  bool short_of_guarantee = false;
  // A rate or burst asked for is less or more than the kernel can keep, and was brought within.
  bool beyond_kernel = false;
  bool operator==(const Rates&) const = default;
};

enum class Intent : std::uint8_t {
  kShape,    // `rates` hold
  kKeep,     // the VM object is not known: whatever there is stays
  kRelease,  // class gone; the TAP is the tap loop's to delete
};

struct DesiredShape {
  Intent intent = Intent::kShape;
  std::uint32_t number = 0;
  Rates rates;
};

struct Desired {
  std::vector<DesiredShape> shapes;  // by number; no two with the same minor
};

struct Observed {
  bool ready = false;                           // the IFB has our HTB and its root class
  std::uint64_t capacity_bytes_per_second = 0;  // of the root class
  std::map<std::uint32_t, drivers::ObservedClass> classes;  // by minor, only interfaces'
  std::map<std::uint32_t, drivers::Tbf> tbfs;  // by number: TAPs that have a TBF of ours
};

struct DeleteClass {
  std::uint32_t minor = 0;
  std::string Text() const;
};
struct AddClass {
  drivers::HtbClass htb;
  std::string Text() const;
};
struct ChangeClass {
  drivers::HtbClass htb;
  std::string Text() const;
};
struct SetLeaf {
  std::uint32_t minor = 0;
  drivers::Leaf leaf;
  std::string Text() const;
};
struct ChangeTbf {
  std::uint32_t number = 0;
  drivers::Tbf tbf;
  drivers::Queue queue = drivers::Queue::kKeep;
  std::string Text() const;
};
using Action = std::variant<DeleteClass, AddClass, ChangeClass, SetLeaf, ChangeTbf>;
std::string ToString(const Action& action);
// Whose it is, and what it puts back when it had stood before; "" when it makes nothing.
struct PartOfInterface {
  std::uint32_t minor = 0;
  std::string_view part;
};
PartOfInterface PartOf(const Action& action);

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed);

// Why the shape is not fulfilled in this observation; empty: class, leaf and TBF are as wished.
std::string Shortfall(const DesiredShape& shape, const Observed& observed);

}  // namespace forkplane::shaping
