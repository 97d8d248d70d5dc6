#include "tests/kernel/healing/sabotages.h"

#include <ostream>

namespace forkplane::healing {
namespace {

const std::vector<Part> kAll(std::begin(kParts), std::end(kParts));
const std::vector<Part> kOfAddresses = {Part::kLinks, Part::kRoutes, Part::kNeighbours};
const std::vector<Part> kOfClasses = {Part::kQdiscs, Part::kClasses};
const std::vector<Part> kClsact = {Part::kQdiscs, Part::kFilters};

}  // namespace

void PrintTo(const Sabotage& sabotage, std::ostream* out) { *out << sabotage.name; }

std::string_view ToString(Told told) {
  switch (told) {
    case Told::kLink:
      return "link";
    case Told::kTc:
      return "traffic control";
    case Told::kAddress:
      return "address";
    case Told::kRoute:
      return "route";
    case Told::kNeighbour:
      return "neighbour";
    case Told::kSwitch:
      return "netconf";
    case Told::kFirewall:
      return "nftables";
    case Told::kRule:
      return "rule";
    case Told::kResync:
      break;
  }
  return "nobody";
}

Told ToldBy(const drivers::LinkEvent& event) {
  using drivers::LinkEventKind;
  switch (event.kind) {
    case LinkEventKind::kLink:
    case LinkEventKind::kLinkGone:
      return Told::kLink;
    case LinkEventKind::kQdisc:
    case LinkEventKind::kClass:
    case LinkEventKind::kFilter:
      return Told::kTc;
    case LinkEventKind::kAddress:
    case LinkEventKind::kAddressGone:
      return Told::kAddress;
    case LinkEventKind::kRoute:
    case LinkEventKind::kBlackholeGone:
    case LinkEventKind::kDefaultRoute:
      return Told::kRoute;
    case LinkEventKind::kNeighbour:
      return Told::kNeighbour;
    case LinkEventKind::kForwarding:
    case LinkEventKind::kSwitch:
      return Told::kSwitch;
    case LinkEventKind::kFirewall:
      return Told::kFirewall;
    case LinkEventKind::kUnjudgedRuleGone:
      return Told::kRule;
    case LinkEventKind::kLost:
      break;
  }
  return Told::kResync;
}

namespace {

const std::vector<Sabotage> kOfTaps = {
    {"TAP deleted", {"ip link del dev fk46000001"}, kAll, Told::kLink},
    {"TAP renamed",
     {"ip link set dev fk46000001 name mine0"},
     {Part::kLinks, Part::kQdiscs},
     Told::kLink},
    {"TAP set down", {"ip link set dev fk46000001 down"}, {Part::kLinks}, Told::kLink},
    {"TAP's MTU changed", {"ip link set dev fk46000001 mtu 1400"}, {Part::kLinks}, Told::kLink},
    {"TAP taken out of its bridge",
     {"ip link set dev fk46000001 nomaster"},
     {Part::kLinks},
     Told::kLink},
    {"TAP moved to another bridge",
     {"ip link set dev fk46000001 master fkbr77"},
     {Part::kLinks},
     Told::kLink},
    {"isolation off", {"bridge link set dev fk46000001 isolated off"}, {Part::kLinks}, Told::kLink},
    {"TAP's MAC changed",
     {"ip link set dev fk46000001 address 02:fb:46:00:00:02"},
     {Part::kLinks},
     Told::kLink},
    {"TAP's alias changed",
     {"ip link set dev fk46000001 alias nobody"},
     {Part::kLinks},
     Told::kLink},
    {"TBF deleted", {"tc qdisc del dev fk46000001 root"}, {Part::kQdiscs}, Told::kTc},
    {"TBF's rate changed",
     {"tc qdisc change dev fk46000001 root handle 7f01: tbf rate 1gbit burst 62500 limit 312500"},
     {Part::kQdiscs},
     Told::kTc},
    {"TBF replaced",
     {"tc qdisc replace dev fk46000001 root handle 9: pfifo limit 9"},
     {Part::kQdiscs},
     Told::kTc},
    {"TBF replaced under its handle",
     {"tc qdisc del dev fk46000001 root",
      "tc qdisc add dev fk46000001 root handle 7f01: pfifo limit 9"},
     {Part::kQdiscs},
     Told::kTc},
    {"clsact deleted", {"tc qdisc del dev fk46000001 clsact"}, kClsact, Told::kTc},
    {"clsact replaced",
     {"tc qdisc del dev fk46000001 clsact", "tc qdisc add dev fk46000001 ingress"},
     kClsact,
     Told::kTc},
    {"ingress program deleted",
     {"tc filter del dev fk46000001 ingress pref 1"},
     {Part::kFilters},
     Told::kTc},
    {"egress program deleted",
     {"tc filter del dev fk46000001 egress pref 1"},
     {Part::kFilters},
     Told::kTc},
    {"all ingress filters deleted",
     {"tc filter del dev fk46000001 ingress"},
     {Part::kFilters},
     Told::kTc},
    {"ingress program replaced",
     {"tc filter replace dev fk46000001 ingress pref 1 handle 1 protocol all bpf bytecode "
      "'1,6 0 0 0,' direct-action"},
     {Part::kFilters},
     Told::kTc},
    {"egress program replaced",
     {"tc filter replace dev fk46000001 egress pref 1 handle 1 protocol all bpf bytecode "
      "'1,6 0 0 0,' direct-action"},
     {Part::kFilters},
     Told::kTc},
    {"a program before ours",
     {"tc filter add dev fk46000001 ingress pref 1 handle 2 protocol all bpf bytecode "
      "'1,6 0 0 0,' direct-action"},
     {Part::kFilters},
     Told::kTc},
    {"ingress program replaced by another kind",
     {"tc filter del dev fk46000001 ingress pref 1",
      "tc filter add dev fk46000001 ingress pref 1 protocol all u32 match u32 0 0 flowid 1:1"},
     {Part::kFilters},
     Told::kTc},
    {"egress program replaced by one for a protocol",
     {"tc filter del dev fk46000001 egress pref 1",
      "tc filter add dev fk46000001 egress pref 1 protocol ip u32 match u32 0 0 flowid 1:1"},
     {Part::kFilters},
     Told::kTc},
    {"identity deleted", {"map delete"}, {Part::kEntries}, Told::kResync},
    {"identity changed", {"map change"}, {Part::kEntries}, Told::kResync},
    {"TAP speaks IPv6",
     {"sysctl -w net.ipv6.conf.fk46000001.disable_ipv6=0"},
     {Part::kSysctls},
     Told::kResync},
    {"route deleted", {"ip route del 10.77.0.3/32 dev fkbr0"}, {Part::kRoutes}, Told::kRoute},
    {"neighbour deleted",
     {"ip neigh del 10.77.0.3 dev fkbr0"},
     {Part::kNeighbours},
     Told::kNeighbour},
    {"neighbour changed",
     {"ip neigh change 10.77.0.3 lladdr 02:00:00:00:00:42 dev fkbr0 nud permanent"},
     {Part::kNeighbours},
     Told::kNeighbour},
    {"neighbour no longer permanent",
     {"ip neigh change 10.77.0.3 lladdr 02:fb:00:00:00:01 dev fkbr0 nud stale"},
     {Part::kNeighbours},
     Told::kNeighbour},
};

const std::vector<Sabotage> kOfUplink = {
    {"IFB deleted", {"ip link del dev fkifb0"}, kAll, Told::kLink},
    {"IFB set down", {"ip link set dev fkifb0 down"}, {Part::kLinks}, Told::kLink},
    {"IFB renamed",
     {"ip link set dev fkifb0 name mine0"},
     {Part::kLinks, Part::kClasses},
     Told::kLink},
    {"IFB's alias changed", {"ip link set dev fkifb0 alias nobody"}, {Part::kLinks}, Told::kLink},
    {"HTB deleted", {"tc qdisc del dev fkifb0 root"}, kOfClasses, Told::kTc},
    {"HTB replaced",
     {"tc qdisc replace dev fkifb0 root handle 9: pfifo limit 9"},
     kOfClasses,
     Told::kTc},
    {"HTB replaced under its handle",
     {"tc qdisc del dev fkifb0 root", "tc qdisc add dev fkifb0 root handle 7f00: htb default 1"},
     kOfClasses,
     Told::kTc},
    {"root class changed",
     {"tc class change dev fkifb0 parent 7f00: classid 7f00:fffe htb rate 1mbit quantum 20000"},
     {Part::kClasses},
     Told::kTc},
    {"root class deleted, with those below it",
     {"tc class del dev fkifb0 classid 7f00:1", "tc class del dev fkifb0 classid 7f00:2",
      "tc class del dev fkifb0 classid 7f00:fffe"},
     kOfClasses,
     Told::kTc},
    {"default class changed",
     {"tc class change dev fkifb0 parent 7f00: classid 7f00:ffff htb rate 1gbit quantum 20000"},
     {Part::kClasses},
     Told::kTc},
    {"default class deleted", {"tc class del dev fkifb0 classid 7f00:ffff"}, kOfClasses, Told::kTc},
    {"default class's leaf deleted",
     {"tc qdisc del dev fkifb0 parent 7f00:ffff"},
     kOfClasses,
     Told::kTc},
    {"VM's class deleted", {"tc class del dev fkifb0 classid 7f00:1"}, kOfClasses, Told::kTc},
    {"VM's class changed",
     {"tc class change dev fkifb0 parent 7f00:fffe classid 7f00:1 htb rate 1gbit quantum 20000"},
     {Part::kClasses},
     Told::kTc},
    {"VM's class under another parent",
     {"tc class del dev fkifb0 classid 7f00:1",
      "tc class add dev fkifb0 parent 7f00: classid 7f00:1 htb rate 10mbit quantum 20000"},
     kOfClasses,
     Told::kTc},
    {"VM's leaf deleted", {"tc qdisc del dev fkifb0 parent 7f00:1"}, kOfClasses, Told::kTc},
    {"VM's leaf replaced",
     {"tc qdisc replace dev fkifb0 parent 7f00:1 handle 9: pfifo limit 9"},
     kOfClasses,
     Told::kTc},
    {"VM's leaf narrowed",
     {"tc qdisc replace dev fkifb0 parent 7f00:1 handle 9: bfifo limit 9999"},
     kOfClasses,
     Told::kTc},
    {"a class that is nobody's",
     {"tc class add dev fkifb0 parent 7f00:fffe classid 7f00:500 htb rate 1mbit quantum 20000"},
     kOfClasses,
     Told::kTc},
    {"classes that are nobody's, one below the other",
     {"tc class add dev fkifb0 parent 7f00:fffe classid 7f00:500 htb rate 1mbit quantum 20000",
      "tc class add dev fkifb0 parent 7f00:500 classid 7f00:501 htb rate 1mbit quantum 20000"},
     kOfClasses,
     Told::kTc},
    {"pins deleted", {"rm {pins}/identities {pins}/to_guest"}, {Part::kEntries}, Told::kResync},
    {"IFB speaks IPv6",
     {"sysctl -w net.ipv6.conf.fkifb0.disable_ipv6=0"},
     {Part::kSysctls},
     Told::kResync},
};

Sabotage OfRules(const char* name, std::vector<std::string> commands) {
  return Sabotage{name, std::move(commands), {Part::kFirewall}, Told::kFirewall};
}

const std::vector<Sabotage> kOfNetwork = {
    {"bridge deleted", {"ip link del dev fkbr0"}, kAll, Told::kLink},
    {"bridge set down", {"ip link set dev fkbr0 down"}, kOfAddresses, Told::kLink},
    {"bridge renamed", {"ip link set dev fkbr0 name mine0"}, kOfAddresses, Told::kLink},
    {"bridge's MAC changed",
     {"ip link set dev fkbr0 address 02:00:00:00:00:07"},
     {Part::kLinks},
     Told::kLink},
    {"bridge's MTU changed", {"ip link set dev fkbr0 mtu 1400"}, {Part::kLinks}, Told::kLink},
    {"bridge's alias changed", {"ip link set dev fkbr0 alias nobody"}, {Part::kLinks}, Told::kLink},
    {"address deleted", {"ip addr del 10.77.0.1/24 dev fkbr0"}, kOfAddresses, Told::kAddress},
    {"second address", {"ip addr add 10.99.0.1/24 dev fkbr0"}, kOfAddresses, Told::kAddress},
    {"address replaced by another of its net",
     {"ip addr del 10.77.0.1/24 dev fkbr0", "ip addr add 10.77.0.9/24 dev fkbr0"},
     kOfAddresses,
     Told::kAddress},
    {"a link of others does not forward",
     {"sysctl -w net.ipv4.conf.up0.forwarding=0"},
     {Part::kSysctls},
     Told::kSwitch},
    {"every link forwards, then none",
     {"sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv4.ip_forward=0"},
     {Part::kSysctls},
     Told::kSwitch},
    {"bridge does not forward",
     {"sysctl -w net.ipv4.conf.fkbr0.forwarding=0"},
     {Part::kSysctls},
     Told::kSwitch},
    {"bridge does not filter by the way back",
     {"sysctl -w net.ipv4.conf.fkbr0.rp_filter=0"},
     {Part::kSysctls},
     Told::kSwitch},
    {"bridge filters loosely",
     {"sysctl -w net.ipv4.conf.fkbr0.rp_filter=2"},
     {Part::kSysctls},
     Told::kSwitch},
    {"bridge looks for the way back without marks",
     {"sysctl -w net.ipv4.conf.fkbr0.src_valid_mark=0"},
     {Part::kSysctls},
     Told::kResync},
    {"rule of unjudged packets deleted",
     {"ip rule del pref 1 fwmark 0x4e000000/0xff000000 blackhole"},
     {Part::kRoutes},
     Told::kRule},
    {"rule of unjudged packets replaced",
     {"ip rule add pref 1 fwmark 0x4e000000/0xff000000 lookup main",
      "ip rule del pref 1 fwmark 0x4e000000/0xff000000 blackhole",
      "ip rule del pref 1 fwmark 0x4e000000/0xff000000 lookup main"},
     {Part::kRoutes},
     Told::kRule},
    {"every rule flushed",
     {"ip rule flush", "ip rule add pref 32766 lookup main",
      "ip rule add pref 32767 lookup default", "ip rule add from 10.88.9.0/24 table 77"},
     {Part::kRoutes},
     Told::kRule},
    {"main table flushed",
     {"ip route flush table main dev fkbr0", "ip route flush table main type blackhole"},
     {Part::kRoutes},
     Told::kRoute},
    {"route of the probe's address deleted",
     {"ip route del 10.77.0.2/32 dev fkbr0"},
     {Part::kRoutes},
     Told::kRoute},
    {"blackhole deleted", {"ip route del blackhole 10.77.0.0/24"}, {Part::kRoutes}, Told::kRoute},
    {"bridge speaks IPv6",
     {"sysctl -w net.ipv6.conf.fkbr0.disable_ipv6=0"},
     {Part::kSysctls},
     Told::kResync},
    OfRules("table deleted", {"nft delete table inet forkplane"}),
    OfRules("table flushed", {"nft flush table inet forkplane"}),
    OfRules("rule deleted", {"nft delete rule inet forkplane from_guest handle {drop}"}),
    OfRules("masquerade deleted", {"nft flush chain inet forkplane postrouting"}),
    OfRules("rule inserted", {"nft insert rule inet forkplane to_guest accept"}),
    OfRules("rule added twice", {"nft add rule inet forkplane to_guest drop"}),
    OfRules("rules in another order",
            {"nft delete rule inet forkplane to_guest handle {answers}",
             "nft add rule inet forkplane to_guest ct state established,related accept"}),
    OfRules("chain without its hook",
            {"nft flush chain inet forkplane forward", "nft delete chain inet forkplane forward",
             "nft add chain inet forkplane forward",
             "nft add rule inet forkplane forward iifname \"fk*\" goto from_guest",
             "nft add rule inet forkplane forward oifname \"fk*\" goto to_guest",
             "nft add rule inet forkplane forward iifname @opened drop"}),
    OfRules("policy changed", {"nft add chain inet forkplane forward { policy drop ; }"}),
    OfRules("chain added", {"nft add chain inet forkplane mine"}),
    OfRules("set added", {"nft add set inet forkplane mine { type ipv4_addr ; }"}),
    OfRules("a Network added", {"nft add element inet forkplane cidrs { 10.66.0.0/24 }"}),
    OfRules("a Network opened",
            {"nft add element inet forkplane open { 10.77.0.0/24 . 10.77.0.0/24 }"}),
    OfRules("host opened", {"nft add element inet forkplane host { 10.77.0.0/24 }"}),
    OfRules("masquerade of a Network deleted",
            {"nft delete element inet forkplane nat { 10.77.0.0/24 }"}),
    OfRules("egress of a Network changed",
            {"nft delete element inet forkplane egress { 10.77.0.0/24 : goto internet }",
             "nft add element inet forkplane egress { 10.77.0.0/24 : accept }"}),
    OfRules("ports opened to everybody",
            {"nft add element inet forkplane ingress { 0.0.0.0/0 . 10.77.0.0/24 . 6 . 22 }"}),
    OfRules("table asleep", {"nft add table inet forkplane { flags dormant ; }"}),
};

}  // namespace

std::vector<Sabotage> OfTaps() { return kOfTaps; }
std::vector<Sabotage> OfUplink() { return kOfUplink; }
std::vector<Sabotage> OfNetwork() { return kOfNetwork; }

std::string HealingTable() {
  std::string text =
      "| what is done | owner | the kernel tells by | whole again |\n|---|---|---|---|\n";
  const auto add = [&](const std::vector<Sabotage>& table, const char* owner) {
    for (const Sabotage& sabotage : table) {
      const std::string_view name = sabotage.name;
      const bool shaped = name.starts_with("VM's") || name.find("nobody") != name.npos ||
                          name == "TBF's rate changed";
      const bool told = sabotage.told != Told::kResync;
      text += fmt::format("| {} | {} | {} | {} |\n", name, shaped ? "shaping" : owner,
                          ToString(sabotage.told), told ? "at once" : "at the next resync");
    }
  };
  add(OfTaps(), "tap");
  add(OfUplink(), "host");
  add(OfNetwork(), "network");
  return text;
}

}  // namespace forkplane::healing
