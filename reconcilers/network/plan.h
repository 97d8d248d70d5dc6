// One bridge of a Network on this host, and our nftables table, which holds all Networks.
//
// Invariants (plan tables hold them):
//   - Fixpoint: the plan of a world that matches is empty; otherwise its actions, executed on a
//     world that stands still, make it match.
//   - The bridge's MAC is pinned before it is up and has its address: a bridge without one takes
//     the lowest MAC of its ports and changes it under the guests (measured).
//   - A cidr that overlaps a route of this host changes nothing: no lease, no bridge, no rule; the
//     condition names the route.
//   - One table of ours, written whole in one transaction; no other table is touched (forwarding.h
//     reads who drops what guests send out, for the condition's message), and no rule is found by a
//     text another may contain (upstream W21).
//   - Before the table, and as long as it, there is the rule of policy routing that throws away
//     what guests sent and no table judged: whoever removes the table cuts guests off and opens
//     nothing.
//   - Traffic between guests through the gateway is dropped, not only at the ports (W20).
//   - A Network goes only when no lease uses it; its rules go before its bridge.
// Also excluded: W16 (addresses rest in the ledger), W18 (ports are counted, bridges are numbered).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "drivers/firewall_driver.h"
#include "drivers/link_driver.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"

namespace forkplane::network {

struct Desired {
  bool present = true;       // false: only `bridge` and the firewall are used
  std::uint32_t bridge = 0;  // number
  std::string alias;         // the Network's uid
  std::uint32_t mtu = 1500;
  // With the cidr's length on the Network's first bridge; /32 on a further one.
  Ipv4Prefix gateway;
  // A blackhole leads to it, so that an address that nobody leases makes no neighbour entry (each
  // lease has a route of its own). Absent: not looked at (a further bridge).
  std::optional<Ipv4Prefix> cidr = {};
  // The reserved address of `cidr`, which leads to the bridge for the forwarding probe alone: a
  // packet whose source leads into a blackhole is dropped before any rule sees it.
  Ipv4 probe = {};
  // Of every Network of this host, canonical; no Network: no table. Absent: not looked at (a
  // further bridge).
  std::optional<drivers::FirewallRules> firewall = drivers::FirewallRules();
  // Connections may stand that began while the rules were not these.
  bool flows_doubtful = false;
};

// Of it, what is this Network's alone.
struct BridgeWish {
  explicit BridgeWish(const Desired& of)
      : bridge(of.bridge), alias(of.alias), mtu(of.mtu), gateway(of.gateway), cidr(of.cidr) {}
  bool operator==(const BridgeWish&) const = default;
  std::uint32_t bridge;
  std::string alias;
  std::uint32_t mtu;
  Ipv4Prefix gateway;
  std::optional<Ipv4Prefix> cidr;
};

struct Observed {
  std::optional<drivers::Link> link;
  bool ipv6_disabled = false;
  std::set<drivers::LinkSwitch> switches = {};  // of drivers::kGuestLinkSwitches, that are on
  std::vector<Ipv4Prefix> addresses;
  drivers::CidrRoutes routes;
  bool probe_route = false;
  std::optional<drivers::FirewallRules> firewall;
  bool unjudged_rule = false;
};

struct CreateBridge {};
struct DeleteLink {};
struct SetMac {};
struct SetMtu {};
struct SetDown {};
struct SetName {};
struct SetAlias {};
struct DisableIpv6 {};
struct DeleteAddress {
  Ipv4Prefix address;
};
struct AddAddress {};
struct SwitchOn {
  drivers::LinkSwitch which = drivers::LinkSwitch::kForwarding;
};
struct AddBlackhole {};
struct DeleteBlackhole {};
struct DeleteConnectedRoute {};
struct AddProbeRoute {};
struct SetUp {};
struct AddUnjudgedRule {};
struct DeleteUnjudgedRule {};
struct ReplaceFirewall {};
struct RemoveFirewall {};
struct FlushFlows {};  // those that the rules forbid (flows.h)
using Action =
    std::variant<CreateBridge, DeleteLink, SetDown, SetName, SetMac, SetMtu, SetAlias, DisableIpv6,
                 DeleteAddress, AddAddress, SwitchOn, AddBlackhole, DeleteBlackhole,
                 DeleteConnectedRoute, AddProbeRoute, SetUp, AddUnjudgedRule, DeleteUnjudgedRule,
                 ReplaceFirewall, RemoveFirewall, FlushFlows>;
std::string ToString(const Action& action);

// The address with the cidr's length.
Ipv4Prefix PrefixOf(const Cidr& cidr, Ipv4 address);

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed);

}  // namespace forkplane::network
