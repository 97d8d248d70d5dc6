// How the paths inside a VM's snapshot find their files: pure.
//
// Snapshots that we took contain only the constant paths of the private root (/vm/...), so nothing
// is needed: strategy "none". (Snapshots taken by others will need "rewrite" or "mount"; they
// cannot be imported yet.)
//
// Invariants (held by tests/plan/snapshot_alias):
//   Fixpoint  a fact that says what is wanted gives no action; nor does no fact about no VM.
//   Total     every restored VM has a fact, no other VM has one.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "controller/runtime/facts.h"

namespace forkplane::snapshot_alias {

inline constexpr const char* kStrategyNone = "none";
inline constexpr const char* kConstantPaths = "ConstantPaths";

struct Desired {
  bool restored = false;  // the VM is there and comes from a snapshot
};

struct PublishAlias {
  runtime::AliasFacts facts;
};
struct RetractAlias {};

using Action = std::variant<PublishAlias, RetractAlias>;
std::string ToString(const Action& action);

std::vector<Action> MakePlan(const Desired& desired,
                             const std::optional<runtime::AliasFacts>& observed);

}  // namespace forkplane::snapshot_alias
