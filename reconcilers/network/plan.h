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
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
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
  bool isolated = true;
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

// The part of Desired that is this Network's alone.
struct DesiredBridge {
  explicit DesiredBridge(const Desired& of)
      : bridge(of.bridge),
        alias(of.alias),
        mtu(of.mtu),
        isolated(of.isolated),
        gateway(of.gateway),
        cidr(of.cidr) {}
  bool operator==(const DesiredBridge&) const = default;
  std::uint32_t bridge;
  std::string alias;
  std::uint32_t mtu;
  bool isolated;
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
  bool host_forwards = false;  // it is a router by somebody's wish: nothing is opened or closed
  std::map<std::string, bool> foreign = {};  // SysctlDriver::ForeignForwarding
};

struct CreateBridge {
  static constexpr std::string_view kName = "CreateBridge";
};
struct DeleteLink {
  static constexpr std::string_view kName = "DeleteLink";
};
struct SetMac {
  static constexpr std::string_view kName = "SetMac";
};
struct SetMtu {
  static constexpr std::string_view kName = "SetMtu";
};
struct SetDown {
  static constexpr std::string_view kName = "SetDown";
};
struct SetName {
  static constexpr std::string_view kName = "SetName";
};
struct SetAlias {
  static constexpr std::string_view kName = "SetAlias";
};
struct DisableIpv6 {
  static constexpr std::string_view kName = "DisableIpv6";
};
struct DeleteAddress {
  Ipv4Prefix address;
  std::string Text() const;
};
struct AddAddress {
  static constexpr std::string_view kName = "AddAddress";
};
struct SwitchOn {
  drivers::LinkSwitch which = drivers::LinkSwitch::kForwarding;
  std::string Text() const;
};
struct AddBlackhole {
  static constexpr std::string_view kName = "AddBlackhole";
};
struct DeleteBlackhole {
  static constexpr std::string_view kName = "DeleteBlackhole";
};
struct DeleteConnectedRoute {
  static constexpr std::string_view kName = "DeleteConnectedRoute";
};
struct AddProbeRoute {
  static constexpr std::string_view kName = "AddProbeRoute";
};
struct SetUp {
  static constexpr std::string_view kName = "SetUp";
};
struct AddUnjudgedRule {
  static constexpr std::string_view kName = "AddUnjudgedRule";
};
struct DeleteUnjudgedRule {
  static constexpr std::string_view kName = "DeleteUnjudgedRule";
};
struct ReplaceFirewall {
  static constexpr std::string_view kName = "ReplaceFirewall";
};
struct RemoveFirewall {
  static constexpr std::string_view kName = "RemoveFirewall";
};
struct FlushFlows {  // those that the rules forbid (flows.h)
  static constexpr std::string_view kName = "FlushFlows";
};
// Answers to guests come in by a link of others only where it forwards. Rules first (`opened`): it
// is no way through this host for anybody else.
struct OpenLink {
  std::string name;
  std::string Text() const;
};
struct CloseLink {
  std::string name;
  std::string Text() const;
};
using Action =
    std::variant<CreateBridge, DeleteLink, SetDown, SetName, SetMac, SetMtu, SetAlias, DisableIpv6,
                 DeleteAddress, AddAddress, SwitchOn, AddBlackhole, DeleteBlackhole,
                 DeleteConnectedRoute, AddProbeRoute, SetUp, AddUnjudgedRule, DeleteUnjudgedRule,
                 ReplaceFirewall, RemoveFirewall, FlushFlows, OpenLink, CloseLink>;
std::string ToString(const Action& action);

// The address with the cidr's length.
Ipv4Prefix PrefixOf(const Cidr& cidr, Ipv4 address);

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed);

}  // namespace forkplane::network
