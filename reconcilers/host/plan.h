// What every VM of this host shares: forwarding, and per shaping domain one IFB with HTB, root and
// default class.
//
// Invariants (plan tables hold them):
//   - Fixpoint: the plan of a world that matches is empty; otherwise its actions, executed on a
//     world that stands still, make it match.
//   - An IFB is never up without HTB, root class and default class: without HTB it passes 12 Gbit/s
//     (measured), without a default class what has no class yet passes unbounded. Where one is
//     missing the IFB goes down first; deleted, upload stops: it fails closed.
//   - What no class claims is bounded by the small default class, not by the capacity (upstream's
//     default class at capacity shaped nobody).
//   - An HTB qdisc cannot be changed, only made anew; that takes all classes with it, and the
//     shaping loop adds them again. So it is rebuilt only when it is not ours.
//   - A host that refuses to forward (read-only /proc/sys) gets all the rest.
//   - A new capacity is applied live (upstream fault W8: never).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "drivers/link_driver.h"
#include "drivers/qdisc_driver.h"

namespace forkplane::host {

struct Desired {
  std::set<std::uint32_t> domains = {0};        // IFB numbers
  std::string alias;                            // the host's uid
  std::uint64_t capacity_bytes_per_second = 0;  // of each domain's root class
  std::uint64_t default_bytes_per_second = 0;   // of the default class
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;

  drivers::HtbClass Root() const;
  drivers::HtbClass Default() const;
  drivers::Leaf DefaultLeaf() const;
  bool operator==(const Desired&) const = default;
};

struct DomainObserved {
  std::optional<drivers::Link> link;
  bool ipv6_disabled = false;
  drivers::UplinkQdiscs qdiscs;
};

struct Observed {
  bool forwarding = false;
  std::map<std::uint32_t, DomainObserved> domains;  // by IFB number; also of those to be removed
};

struct EnableForwarding {};
struct CreateIfb {
  std::uint32_t ifb = 0;
};
struct DeleteLink {  // an IFB that nothing is leased on; or what is no IFB under our index
  std::uint32_t ifb = 0;
};
struct SetName {
  std::uint32_t ifb = 0;
};
struct SetAlias {
  std::uint32_t ifb = 0;
};
struct DisableIpv6 {
  std::uint32_t ifb = 0;
};
struct SetUp {
  std::uint32_t ifb = 0;
  bool up = true;
};
struct DeleteRoot {
  std::uint32_t ifb = 0;
};
struct AddHtb {
  std::uint32_t ifb = 0;
};
struct AddClass {
  std::uint32_t ifb = 0;
  drivers::HtbClass htb;
};
struct ChangeClass {
  std::uint32_t ifb = 0;
  drivers::HtbClass htb;
};
struct SetLeaf {
  std::uint32_t ifb = 0;
  std::uint32_t minor = 0;
  drivers::Leaf leaf;
};
using Action = std::variant<EnableForwarding, CreateIfb, DeleteLink, SetName, SetAlias, DisableIpv6,
                            SetUp, DeleteRoot, AddHtb, AddClass, ChangeClass, SetLeaf>;
std::string ToString(const Action& action);
// What the action puts back when it had stood before.
std::string_view PartOf(const Action& action);

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed);

}  // namespace forkplane::host
