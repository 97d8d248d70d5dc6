// What every VM of this host shares: per shaping domain one IFB with HTB, root and
// default class; or (--redirect mark) a HTB at the root of the uplink, with a class for the host
// itself and a classifier that tells it from the guests. There what IFB 0 would have is done at the
// uplink (QdiscDriver::ShapeOn), and the link itself stays the host's.
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
//   - A new capacity is applied live (upstream fault W8: never).
//   - On the uplink the host's own traffic is never held up: its class has no bound that a link
//     could reach, and the default class, where what the classifier does not know ends, comes last
//     and after the classifier (a HTB without its default class passes what it does not know).
//   - A root qdisc that somebody made on the uplink is never replaced; the plan waits (Blocker). A
//     HTB of ours that is no longer wanted somewhere goes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "drivers/identity_driver.h"
#include "drivers/link_driver.h"
#include "drivers/qdisc_driver.h"

namespace forkplane::host {

struct Desired {
  std::set<std::uint32_t> domains = {0};        // IFB numbers; none with an uplink
  std::uint32_t uplink = 0;                     // index of the link to shape on; 0: on IFBs
  std::string alias;                            // the host's uid
  std::uint64_t capacity_bytes_per_second = 0;  // of each domain's root class
  std::uint64_t default_bytes_per_second = 0;   // of the default class
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;

  drivers::HtbClass Root() const;
  drivers::HtbClass Default() const;
  drivers::Leaf DefaultLeaf() const;
  drivers::HtbClass Host() const;  // on an uplink
  drivers::Leaf HostLeaf() const;
  bool operator==(const Desired&) const = default;
};

struct DomainObserved {
  std::optional<drivers::Link> link;
  bool ipv6_disabled = false;
  drivers::UplinkQdiscs qdiscs;
};

struct UplinkObserved {
  drivers::UplinkQdiscs qdiscs;
  drivers::ProgramState classifier = drivers::ProgramState::kNone;
};

struct Observed {
  bool pinned = true;  // programs and maps of the TAPs, for the next daemon
  std::map<std::uint32_t, DomainObserved> domains;  // by IFB number; also of those to be removed
  std::optional<UplinkObserved> uplink = {};        // when one is desired and there
  std::vector<std::uint32_t> left = {};             // other links with a HTB of ours
};

struct CreateIfb {
  std::uint32_t ifb = 0;
  std::string Text() const;
};
struct DeleteLink {  // an IFB that nothing is leased on; or what is no IFB under our index
  std::uint32_t ifb = 0;
  std::string Text() const;
};
struct SetName {
  std::uint32_t ifb = 0;
  std::string Text() const;
};
struct SetAlias {
  std::uint32_t ifb = 0;
  std::string Text() const;
};
struct DisableIpv6 {
  std::uint32_t ifb = 0;
  std::string Text() const;
};
struct SetUp {
  std::uint32_t ifb = 0;
  bool up = true;
  std::string Text() const;
};
struct DeleteRoot {
  std::uint32_t ifb = 0;
  std::string Text() const;
};
struct AddHtb {
  std::uint32_t ifb = 0;
  std::string Text() const;
};
struct AddClass {
  std::uint32_t ifb = 0;
  drivers::HtbClass htb;
  std::string Text() const;
};
struct ChangeClass {
  std::uint32_t ifb = 0;
  drivers::HtbClass htb;
  std::string Text() const;
};
struct SetLeaf {
  std::uint32_t ifb = 0;
  std::uint32_t minor = 0;
  drivers::Leaf leaf;
  std::string Text() const;
};
struct AttachClassifier {  // to the uplink
  static constexpr std::string_view kName = "AttachClassifier";
};
struct PinPrograms {
  static constexpr std::string_view kName = "PinPrograms";
};
struct LeaveLink {  // that is not shaped on any more
  std::uint32_t index = 0;
  std::string Text() const;
};
using Action =
    std::variant<CreateIfb, DeleteLink, SetName, SetAlias, DisableIpv6, SetUp, DeleteRoot, AddHtb,
                 AddClass, ChangeClass, SetLeaf, AttachClassifier, PinPrograms, LeaveLink>;
std::string ToString(const Action& action);
// What the action puts back when it had stood before.
std::string_view PartOf(const Action& action);

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed);

// Why an empty plan does not mean that guests are shaped, as an operator must know it; else empty.
std::string Blocker(const Desired& desired, const Observed& observed);

}  // namespace forkplane::host
