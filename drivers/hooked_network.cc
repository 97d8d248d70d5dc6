#include "drivers/hooked_network.h"

namespace forkplane::drivers {

Lookup<Link> HookedLinkDriver::Observe(std::uint32_t index) {
  return CallThrough(hook_, {"link", "observe", false}, [&] { return inner_.Observe(index); });
}
Lookup<Link> HookedLinkDriver::ObserveByName(const std::string& name) {
  return CallThrough(hook_, {"link", "observe_by_name", false},
                     [&] { return inner_.ObserveByName(name); });
}
Result<std::vector<Link>> HookedLinkDriver::ListOwned() {
  return CallThrough(hook_, {"link", "list_owned", false}, [&] { return inner_.ListOwned(); });
}
Status HookedLinkDriver::CreateBridge(const BridgeSpec& spec) {
  return CallThrough(hook_, {"link", "create_bridge", true},
                     [&] { return inner_.CreateBridge(spec); });
}
Status HookedLinkDriver::CreateIfb(const IfbSpec& spec) {
  return CallThrough(hook_, {"link", "create_ifb", true}, [&] { return inner_.CreateIfb(spec); });
}
Status HookedLinkDriver::SetUp(std::uint32_t index, bool up) {
  return CallThrough(hook_, {"link", "set_up", true}, [&] { return inner_.SetUp(index, up); });
}
Status HookedLinkDriver::SetMac(std::uint32_t index, const MacAddress& mac) {
  return CallThrough(hook_, {"link", "set_mac", true}, [&] { return inner_.SetMac(index, mac); });
}
Status HookedLinkDriver::SetMtu(std::uint32_t index, std::uint32_t mtu) {
  return CallThrough(hook_, {"link", "set_mtu", true}, [&] { return inner_.SetMtu(index, mtu); });
}
Status HookedLinkDriver::SetName(std::uint32_t index, const std::string& name) {
  return CallThrough(hook_, {"link", "set_name", true},
                     [&] { return inner_.SetName(index, name); });
}
Status HookedLinkDriver::SetAlias(std::uint32_t index, const std::string& alias) {
  return CallThrough(hook_, {"link", "set_alias", true},
                     [&] { return inner_.SetAlias(index, alias); });
}
Status HookedLinkDriver::SetMaster(std::uint32_t index, std::uint32_t master) {
  return CallThrough(hook_, {"link", "set_master", true},
                     [&] { return inner_.SetMaster(index, master); });
}
Status HookedLinkDriver::SetPortUp(std::uint32_t index, bool isolated) {
  return CallThrough(hook_, {"link", "set_port_up", true},
                     [&] { return inner_.SetPortUp(index, isolated); });
}
Status HookedLinkDriver::SetPortIsolation(std::uint32_t index, bool isolated) {
  return CallThrough(hook_, {"link", "set_port_isolation", true},
                     [&] { return inner_.SetPortIsolation(index, isolated); });
}
Status HookedLinkDriver::Delete(std::uint32_t index) {
  return CallThrough(hook_, {"link", "delete", true}, [&] { return inner_.Delete(index); });
}

Result<std::vector<Ipv4Prefix>> HookedRouteDriver::ListAddresses(std::uint32_t index) {
  return CallThrough(hook_, {"route", "list_addresses", false},
                     [&] { return inner_.ListAddresses(index); });
}
Status HookedRouteDriver::AddAddress(std::uint32_t index, const Ipv4Prefix& address) {
  return CallThrough(hook_, {"route", "add_address", true},
                     [&] { return inner_.AddAddress(index, address); });
}
Status HookedRouteDriver::DeleteAddress(std::uint32_t index, const Ipv4Prefix& address) {
  return CallThrough(hook_, {"route", "delete_address", true},
                     [&] { return inner_.DeleteAddress(index, address); });
}
Result<std::vector<Route>> HookedRouteDriver::ListRoutes() {
  return CallThrough(hook_, {"route", "list_routes", false}, [&] { return inner_.ListRoutes(); });
}
Result<std::vector<Ipv4>> HookedRouteDriver::ListHostRoutes(std::uint32_t index) {
  return CallThrough(hook_, {"route", "list_host_routes", false},
                     [&] { return inner_.ListHostRoutes(index); });
}
Result<CidrRoutes> HookedRouteDriver::ObserveCidr(std::uint32_t index, const Ipv4Prefix& cidr) {
  return CallThrough(hook_, {"route", "observe_cidr", false},
                     [&] { return inner_.ObserveCidr(index, cidr); });
}
Status HookedRouteDriver::AddBlackhole(const Ipv4Prefix& cidr) {
  return CallThrough(hook_, {"route", "add_blackhole", true},
                     [&] { return inner_.AddBlackhole(cidr); });
}
Status HookedRouteDriver::DeleteBlackhole(const Ipv4Prefix& cidr) {
  return CallThrough(hook_, {"route", "delete_blackhole", true},
                     [&] { return inner_.DeleteBlackhole(cidr); });
}
Status HookedRouteDriver::DeleteConnectedRoute(std::uint32_t index, const Ipv4Prefix& cidr) {
  return CallThrough(hook_, {"route", "delete_connected_route", true},
                     [&] { return inner_.DeleteConnectedRoute(index, cidr); });
}
Result<bool> HookedRouteDriver::HasUnjudgedRule() {
  return CallThrough(hook_, {"route", "has_unjudged_rule", false},
                     [&] { return inner_.HasUnjudgedRule(); });
}
Status HookedRouteDriver::AddUnjudgedRule() {
  return CallThrough(hook_, {"route", "add_unjudged_rule", true},
                     [&] { return inner_.AddUnjudgedRule(); });
}
Status HookedRouteDriver::DeleteUnjudgedRule() {
  return CallThrough(hook_, {"route", "delete_unjudged_rule", true},
                     [&] { return inner_.DeleteUnjudgedRule(); });
}
Result<bool> HookedRouteDriver::HasHostRoute(std::uint32_t index, Ipv4 address) {
  return CallThrough(hook_, {"route", "has_host_route", false},
                     [&] { return inner_.HasHostRoute(index, address); });
}
Status HookedRouteDriver::AddHostRoute(std::uint32_t index, Ipv4 address) {
  return CallThrough(hook_, {"route", "add_host_route", true},
                     [&] { return inner_.AddHostRoute(index, address); });
}
Status HookedRouteDriver::DeleteHostRoute(std::uint32_t index, Ipv4 address) {
  return CallThrough(hook_, {"route", "delete_host_route", true},
                     [&] { return inner_.DeleteHostRoute(index, address); });
}
Result<std::vector<Neighbour>> HookedRouteDriver::ListNeighbours(std::uint32_t index) {
  return CallThrough(hook_, {"route", "list_neighbours", false},
                     [&] { return inner_.ListNeighbours(index); });
}
Lookup<MacAddress> HookedRouteDriver::ObserveNeighbour(std::uint32_t index, Ipv4 address) {
  return CallThrough(hook_, {"route", "observe_neighbour", false},
                     [&] { return inner_.ObserveNeighbour(index, address); });
}
Status HookedRouteDriver::SetNeighbour(std::uint32_t index, const Neighbour& neighbour) {
  return CallThrough(hook_, {"route", "set_neighbour", true},
                     [&] { return inner_.SetNeighbour(index, neighbour); });
}
Status HookedRouteDriver::DeleteNeighbour(std::uint32_t index, Ipv4 address) {
  return CallThrough(hook_, {"route", "delete_neighbour", true},
                     [&] { return inner_.DeleteNeighbour(index, address); });
}
Lookup<Uplink> HookedRouteDriver::DefaultUplink() {
  return CallThrough(hook_, {"route", "default_uplink", false},
                     [&] { return inner_.DefaultUplink(); });
}
Lookup<Uplink> HookedRouteDriver::UplinkByName(const std::string& name) {
  return CallThrough(hook_, {"route", "uplink_by_name", false},
                     [&] { return inner_.UplinkByName(name); });
}

Result<TapFile> HookedTapDriver::ObserveFile(std::uint32_t number) {
  return CallThrough(hook_, {"tap", "observe_file", false},
                     [&] { return inner_.ObserveFile(number); });
}
Status HookedTapDriver::Create(const TapSpec& spec) {
  return CallThrough(hook_, {"tap", "create", true}, [&] { return inner_.Create(spec); });
}
Result<UniqueFd> HookedTapDriver::Dup(std::uint32_t number) {
  return CallThrough(hook_, {"tap", "dup", false}, [&] { return inner_.Dup(number); });
}
Status HookedTapDriver::Adopt(std::uint32_t number, pid_t pid) {
  return CallThrough(hook_, {"tap", "adopt", true}, [&] { return inner_.Adopt(number, pid); });
}
Status HookedTapDriver::Reattach(const TapSpec& spec, pid_t pid) {
  return CallThrough(hook_, {"tap", "reattach", true}, [&] { return inner_.Reattach(spec, pid); });
}
Status HookedTapDriver::Forget(std::uint32_t number) {
  return CallThrough(hook_, {"tap", "forget", true}, [&] { return inner_.Forget(number); });
}
Status HookedTapDriver::Delete(std::uint32_t number) {
  return CallThrough(hook_, {"tap", "delete", true}, [&] { return inner_.Delete(number); });
}

Result<PortQdiscs> HookedQdiscDriver::ObservePort(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "observe_port", false},
                     [&] { return inner_.ObservePort(index); });
}
Result<bool> HookedQdiscDriver::HasTbf(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "has_tbf", false}, [&] { return inner_.HasTbf(index); });
}
Result<DomainQdiscs> HookedQdiscDriver::ObserveDomain(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "observe_domain", false},
                     [&] { return inner_.ObserveDomain(index); });
}
Result<DomainQdiscs> HookedQdiscDriver::ObserveInterface(std::uint32_t index, std::uint32_t minor,
                                                         std::uint32_t tap) {
  return CallThrough(hook_, {"qdisc", "observe_interface", false},
                     [&] { return inner_.ObserveInterface(index, minor, tap); });
}
Result<UplinkQdiscs> HookedQdiscDriver::ObserveUplink(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "observe_uplink", false},
                     [&] { return inner_.ObserveUplink(index); });
}
Result<std::vector<ObservedClass>> HookedQdiscDriver::ObserveClasses(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "observe_classes", false},
                     [&] { return inner_.ObserveClasses(index); });
}
Result<std::vector<std::uint32_t>> HookedQdiscDriver::ForeignLinksWithHtb() {
  return CallThrough(hook_, {"qdisc", "foreign_links_with_htb", false},
                     [&] { return inner_.ForeignLinksWithHtb(); });
}
Result<bool> HookedQdiscDriver::HasFqCodel() {
  return CallThrough(hook_, {"qdisc", "has_fq_codel", false}, [&] { return inner_.HasFqCodel(); });
}
Status HookedQdiscDriver::AddTbf(std::uint32_t index, const Tbf& tbf) {
  return CallThrough(hook_, {"qdisc", "add_tbf", true}, [&] { return inner_.AddTbf(index, tbf); });
}
Status HookedQdiscDriver::ChangeTbf(std::uint32_t index, const Tbf& tbf, Queue queue) {
  return CallThrough(hook_, {"qdisc", "change_tbf", true},
                     [&] { return inner_.ChangeTbf(index, tbf, queue); });
}
Status HookedQdiscDriver::AddClsact(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "add_clsact", true}, [&] { return inner_.AddClsact(index); });
}
Status HookedQdiscDriver::DeleteClsact(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "delete_clsact", true},
                     [&] { return inner_.DeleteClsact(index); });
}
Status HookedQdiscDriver::AddHtb(std::uint32_t index, std::uint32_t default_minor) {
  return CallThrough(hook_, {"qdisc", "add_htb", true},
                     [&] { return inner_.AddHtb(index, default_minor); });
}
Status HookedQdiscDriver::DeleteRoot(std::uint32_t index) {
  return CallThrough(hook_, {"qdisc", "delete_root", true},
                     [&] { return inner_.DeleteRoot(index); });
}
Status HookedQdiscDriver::AddClass(std::uint32_t index, const HtbClass& htb) {
  return CallThrough(hook_, {"qdisc", "add_class", true},
                     [&] { return inner_.AddClass(index, htb); });
}
Status HookedQdiscDriver::ChangeClass(std::uint32_t index, const HtbClass& htb) {
  return CallThrough(hook_, {"qdisc", "change_class", true},
                     [&] { return inner_.ChangeClass(index, htb); });
}
Status HookedQdiscDriver::DeleteClass(std::uint32_t index, std::uint32_t minor) {
  return CallThrough(hook_, {"qdisc", "delete_class", true},
                     [&] { return inner_.DeleteClass(index, minor); });
}
Status HookedQdiscDriver::SetLeaf(std::uint32_t index, std::uint32_t minor, const Leaf& leaf) {
  return CallThrough(hook_, {"qdisc", "set_leaf", true},
                     [&] { return inner_.SetLeaf(index, minor, leaf); });
}

Lookup<IdentityEntry> HookedIdentityDriver::ObserveEntry(std::uint32_t index) {
  return CallThrough(hook_, {"identity", "observe_entry", false},
                     [&] { return inner_.ObserveEntry(index); });
}
Result<std::vector<IdentityEntryAt>> HookedIdentityDriver::ListEntries() {
  return CallThrough(hook_, {"identity", "list_entries", false},
                     [&] { return inner_.ListEntries(); });
}
Status HookedIdentityDriver::SetEntry(std::uint32_t index, const IdentityEntry& entry) {
  return CallThrough(hook_, {"identity", "set_entry", true},
                     [&] { return inner_.SetEntry(index, entry); });
}
Status HookedIdentityDriver::DeleteEntry(std::uint32_t index) {
  return CallThrough(hook_, {"identity", "delete_entry", true},
                     [&] { return inner_.DeleteEntry(index); });
}
Result<IdentityCounters> HookedIdentityDriver::Counters(std::uint32_t index) {
  return CallThrough(hook_, {"identity", "counters", false},
                     [&] { return inner_.Counters(index); });
}
Result<AttachedPrograms> HookedIdentityDriver::ObservePrograms(std::uint32_t index) {
  return CallThrough(hook_, {"identity", "observe_programs", false},
                     [&] { return inner_.ObservePrograms(index); });
}
Status HookedIdentityDriver::Attach(std::uint32_t index, Direction direction) {
  return CallThrough(hook_, {"identity", "attach", true},
                     [&] { return inner_.Attach(index, direction); });
}
Status HookedIdentityDriver::Detach(std::uint32_t index, Direction direction) {
  return CallThrough(hook_, {"identity", "detach", true},
                     [&] { return inner_.Detach(index, direction); });
}

Result<bool> HookedIdentityDriver::ArePinned() {
  return CallThrough(hook_, {"identity", "are_pinned", false}, [&] { return inner_.ArePinned(); });
}
Status HookedIdentityDriver::Pin() {
  return CallThrough(hook_, {"identity", "pin", true}, [&] { return inner_.Pin(); });
}
Result<ProgramState> HookedIdentityDriver::ObserveClassifier(std::uint32_t index) {
  return CallThrough(hook_, {"identity", "observe_classifier", false},
                     [&] { return inner_.ObserveClassifier(index); });
}
Status HookedIdentityDriver::AttachClassifier(std::uint32_t index) {
  return CallThrough(hook_, {"identity", "attach_classifier", true},
                     [&] { return inner_.AttachClassifier(index); });
}

Lookup<FirewallRules> HookedFirewallDriver::Observe() {
  return CallThrough(hook_, {"firewall", "observe", false}, [&] { return inner_.Observe(); });
}
Status HookedFirewallDriver::Replace(const FirewallRules& rules) {
  return CallThrough(hook_, {"firewall", "replace", true}, [&] { return inner_.Replace(rules); });
}
Status HookedFirewallDriver::Remove() {
  return CallThrough(hook_, {"firewall", "remove", true}, [&] { return inner_.Remove(); });
}
Result<std::vector<RefusedFlows>> HookedFirewallDriver::ListRefused() {
  return CallThrough(hook_, {"firewall", "list_refused", false},
                     [&] { return inner_.ListRefused(); });
}

Result<std::size_t> HookedFlowDriver::FlushAddress(Ipv4 address) {
  return CallThrough(hook_, {"flow", "flush_address", true},
                     [&] { return inner_.FlushAddress(address); });
}

Result<std::size_t> HookedFlowDriver::FlushIf(const std::function<bool(const Flow&)>& ends) {
  return CallThrough(hook_, {"flow", "flush_if", true}, [&] { return inner_.FlushIf(ends); });
}

Result<ForwardingVerdict> HookedForwardingProbe::Probe(std::uint32_t bridge, Ipv4 source) {
  return CallThrough(hook_, {"forwarding", "probe", false},
                     [&] { return inner_.Probe(bridge, source); });
}

Result<bool> HookedSysctlDriver::Ipv4Forwarding() {
  return CallThrough(hook_, {"sysctl", "ipv4_forwarding", false},
                     [&] { return inner_.Ipv4Forwarding(); });
}
Status HookedSysctlDriver::EnableIpv4Forwarding() {
  return CallThrough(hook_, {"sysctl", "enable_ipv4_forwarding", true},
                     [&] { return inner_.EnableIpv4Forwarding(); });
}
Result<bool> HookedSysctlDriver::Ipv6Disabled(const std::string& link) {
  return CallThrough(hook_, {"sysctl", "ipv6_disabled", false},
                     [&] { return inner_.Ipv6Disabled(link); });
}
Status HookedSysctlDriver::DisableIpv6(const std::string& link) {
  return CallThrough(hook_, {"sysctl", "disable_ipv6", true},
                     [&] { return inner_.DisableIpv6(link); });
}
Result<bool> HookedSysctlDriver::IsOn(const std::string& link, LinkSwitch which) {
  return CallThrough(hook_, {"sysctl", "is_on", false}, [&] { return inner_.IsOn(link, which); });
}
Status HookedSysctlDriver::SwitchOn(const std::string& link, LinkSwitch which) {
  return CallThrough(hook_, {"sysctl", "switch_on", true},
                     [&] { return inner_.SwitchOn(link, which); });
}

}  // namespace forkplane::drivers
