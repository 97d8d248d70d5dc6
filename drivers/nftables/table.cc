#include "drivers/nftables/table.h"

#include <fmt/format.h>

#include <bit>

#include "controller/base/network_names.h"

namespace forkplane::nftables {
namespace {

using drivers::Egress;
using drivers::FirewallNetwork;
using drivers::FirewallRules;
using drivers::Opening;

// Addresses that may be active at once. The kernel makes room for as many, 8 bytes each; beyond,
// new connections are refused.
constexpr int kAddressesMax = 65536;
constexpr int kAddressesOfClassMax = 16384;

// Constant. Every line exactly as nft 1.0.6 lists it with numeric output: connection states are 1
// invalid, 2 established, 4 related; family 2 is IPv4; type 8 is an echo request.
const Parts& ConstantParts() {
  static const std::vector<std::string> kAddresses = {"type ipv4_addr", "flags interval"};
  static const std::vector<std::string> kVerdicts = {"type ipv4_addr : verdict", "flags interval"};
  static const std::vector<std::string> kOpenings = {
      "type ipv4_addr . ipv4_addr . inet_proto . inet_service", "flags interval"};
  static const std::vector<std::string> kActive = {"type ipv4_addr",
                                                   fmt::format("size {}", kAddressesMax),
                                                   "flags dynamic,timeout", "timeout 60s"};
  static const std::string kStates = "ct state vmap { 0x1 : drop, 0x2 : accept, 0x4 : accept }";
  static const std::string kBounds = "ct status ! 0x8 ip saddr vmap @classes";
  static const Parts kParts = {
      {"set cidrs", kAddresses},
      {"set probes", {"type ifname . ipv4_addr"}},
      {"set open", {"type ipv4_addr . ipv4_addr", "flags interval"}},
      {"set allow", kOpenings},
      {"set ingress", kOpenings},
      {"set services", kOpenings},
      {"set host", kAddresses},
      {"set metadata", kAddresses},
      {"set nat", kAddresses},
      {"set pinned", kAddresses},
      {"set ways", {"type ipv4_addr . ifname", "flags interval"}},
      {"set opened", {"type ifname"}},
      {"set unshaped", {"type ifname"}},
      {"map egress", kVerdicts},
      {"map classes", kVerdicts},
      {"set rates", kActive},
      {fmt::format("set {}", kRefusedSet), kActive},
      {"chain prerouting",
       {"type filter hook prerouting priority -300; policy accept;", "iifname \"fk*\" goto guest",
        "iifname != \"lo\" ip saddr @cidrs drop"}},
      {"chain guest",
       {"meta nfproto != 2 drop", "fib saddr . iif oif 0 iifname . ip saddr != @probes drop",
        "ip daddr 169.254.0.0/16 ip saddr != @metadata drop",
        "meta mark 0x4e000000 meta mark set 0x00000000",
        "meta mark 0x4e000001-0x4effffff meta mark set meta mark & 0xf7ffffff"}},
      {"chain forward",
       {"type filter hook forward priority 0; policy accept;", "iifname \"fk*\" goto from_guest",
        "oifname \"fk*\" goto to_guest", "iifname @opened drop"}},
      {"chain from_guest",
       {"oifname @unshaped drop", kStates, kBounds,
        "oifname \"fk*\" ip saddr . ip daddr @open accept", "oifname \"fk*\" drop",
        "ip saddr @pinned ip saddr . oifname != @ways drop",
        "ip saddr . ip daddr . meta l4proto . th dport @allow accept", "ip saddr vmap @egress",
        "drop"}},
      {"chain internet",
       {"ip daddr { 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16 } drop", "accept"}},
      {"chain to_guest",
       {"ct state 0x2,0x4 accept", "ip saddr . ip daddr . meta l4proto . th dport @ingress accept",
        "drop"}},
      {"chain input",
       {"type filter hook input priority 0; policy accept;", "iifname \"fk*\" goto to_host"}},
      {"chain to_host",
       {kStates, kBounds, "icmp type 8 accept",
        "ip saddr . ip daddr . meta l4proto . th dport @services accept", "ip saddr @host accept",
        "drop"}},
      {"chain postrouting",
       {"type nat hook postrouting priority 100; policy accept;",
        "oifname != \"fk*\" ip saddr @nat masquerade"}},
  };
  return kParts;
}

void AddBounds(std::uint32_t connections, Parts& parts) {
  parts[fmt::format("set conns_{}", connections)] = {
      "type ipv4_addr", fmt::format("size {}", kAddressesOfClassMax), "flags dynamic"};
  parts[fmt::format("chain bounds_{}", connections)] = {
      fmt::format("update @rates {{ ip saddr limit rate 200/second burst 400 packets }} add "
                  "@conns_{0} {{ ip saddr ct count {0} }} return",
                  connections),
      fmt::format("update @{} {{ ip saddr counter }} drop", kRefusedSet), "drop"};
}

std::string Quoted(const std::string& name) { return fmt::format("\"{}\"", name); }

std::string RangeText(std::uint32_t first, std::uint32_t last) {
  return first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
}

std::string AddressesText(Ipv4 first, Ipv4 last) {
  if (first == last) return ToString(first);
  const std::uint32_t host_bits = first.value ^ last.value;
  const bool block =
      std::has_single_bit(std::uint64_t{host_bits} + 1) && (first.value & host_bits) == 0;
  if (!block) return fmt::format("{}-{}", ToString(first), ToString(last));
  return ToString(Ipv4Prefix{first, static_cast<std::uint8_t>(std::countl_zero(host_bits))});
}

std::string PortsText(const Opening& box) {
  return fmt::format("{} . {}", RangeText(box.protocol_first, box.protocol_last),
                     RangeText(box.port_first, box.port_last));
}

void AddOpenings(const FirewallNetwork& network, Elements& elements) {
  const std::string cidr = ToString(network.cidr);
  const auto to = [&](const Opening& box) {
    return fmt::format("{} . {} . {}", cidr, AddressesText(box.first, box.last), PortsText(box));
  };
  for (const Opening& box : network.allow) elements["allow"].insert(to(box));
  for (const Opening& box : network.services) elements["services"].insert(to(box));
  for (const Opening& box : network.ingress) {
    elements["ingress"].insert(
        fmt::format("{} . {} . {}", AddressesText(box.first, box.last), cidr, PortsText(box)));
  }
}

void AddNetwork(const FirewallNetwork& network, Elements& elements) {
  const std::string cidr = ToString(network.cidr);
  elements["cidrs"].insert(cidr);
  if (!network.bridge.empty()) {
    const Ipv4 inner = InnerAddress({network.cidr.address, network.cidr.length});
    elements["probes"].insert(fmt::format("{} . {}", Quoted(network.bridge), ToString(inner)));
  }
  if (!network.isolated) elements["open"].insert(fmt::format("{0} . {0}", cidr));
  if (network.masquerade) elements["nat"].insert(cidr);
  if (network.host_access) elements["host"].insert(cidr);
  if (network.metadata_access) elements["metadata"].insert(cidr);
  if (network.egress == Egress::kInternet) elements["egress"].insert(cidr + " : goto internet");
  if (network.egress == Egress::kAll) elements["egress"].insert(cidr + " : accept");
  if (!network.uplink.empty()) {
    elements["pinned"].insert(cidr);
    elements["ways"].insert(fmt::format("{} . {}", cidr, Quoted(network.uplink)));
  }
  elements["classes"].insert(fmt::format("{} : jump bounds_{}", cidr, network.connections_max));
  AddOpenings(network, elements);
}

std::string ElementsCommand(std::string_view verb, const std::string& set,
                            const std::set<std::string>& elements) {
  if (elements.empty()) return {};
  return fmt::format("{} element inet {} {} {{ {} }}\n", verb, kFirewallTable, set,
                     fmt::join(elements, ", "));
}

std::string PartText(const std::string& head, const std::vector<std::string>& lines) {
  return fmt::format("{} {{\n{}\n}}\n", head, fmt::join(lines, "\n"));
}

std::set<std::string> Without(std::set<std::string> from, const Elements& other,
                              const std::string& set) {
  if (const auto found = other.find(set); found != other.end()) {
    for (const std::string& element : found->second) from.erase(element);
  }
  return from;
}

// Elements of one that the other has not.
std::string DifferenceCommands(std::string_view verb, const Elements& of, const Elements& without) {
  std::string commands;
  for (const auto& [set, elements] : of) {
    commands += ElementsCommand(verb, set, Without(elements, without, set));
  }
  return commands;
}

}  // namespace

Table TableOf(const FirewallRules& rules) {
  Table table;
  table.parts = ConstantParts();
  for (const FirewallNetwork& network : rules.networks) {
    AddBounds(network.connections_max, table.parts);
    AddNetwork(network, table.elements);
  }
  for (const std::string& name : rules.opened) table.elements["opened"].insert(Quoted(name));
  for (const std::string& name : rules.unshaped) table.elements["unshaped"].insert(Quoted(name));
  return table;
}

std::string CommandsFor(const Table& table) {
  // Add before delete, so that the delete never fails.
  std::string commands =
      fmt::format("add table inet {0}\ndelete table inet {0}\ntable inet {0} {{\n", kFirewallTable);
  for (const auto& [head, lines] : table.parts) commands += PartText(head, lines);
  commands += "}\n";
  return commands + DifferenceCommands("add", table.elements, {});
}

// New bounds before the elements that lead to them, old ones after those are gone.
std::string CommandsBetween(const Table& from, const Table& to) {
  std::string commands;
  for (const auto& [head, lines] : to.parts) {
    if (from.parts.contains(head)) continue;
    commands += fmt::format("table inet {} {{\n{}}}\n", kFirewallTable, PartText(head, lines));
  }
  commands += DifferenceCommands("delete", from.elements, to.elements);
  commands += DifferenceCommands("add", to.elements, from.elements);
  for (const auto& [head, lines] : from.parts) {  // chains come before the sets that they use
    if (to.parts.contains(head)) continue;
    const std::size_t space = head.find(' ');
    commands += fmt::format("delete {} inet {} {}\n", head.substr(0, space), kFirewallTable,
                            head.substr(space + 1));
  }
  return commands;
}

}  // namespace forkplane::nftables
