// Decorators that show every call of a network driver to a CallHook: faults for tests, metrics in
// production. They may be stacked. What hooked.h says holds for each.
#pragma once

#include <type_traits>

#include "drivers/firewall_driver.h"
#include "drivers/flow_driver.h"
#include "drivers/forwarding_probe.h"
#include "drivers/hooked/hooked.h"
#include "drivers/identity_driver.h"
#include "drivers/link_driver.h"
#include "drivers/qdisc_driver.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"
#include "drivers/tap_driver.h"

namespace forkplane::drivers {

class HookedLinkDriver final : public Hooked<LinkDriver> {
 public:
  HookedLinkDriver(LinkDriver& inner, CallHook& hook) : Hooked("link", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(1, Observe, "observe")
  FORKPLANE_HOOKED_LOOK(1, ObserveByName, "observe_by_name")
  FORKPLANE_HOOKED_LOOK(0, ListOwned, "list_owned")
  FORKPLANE_HOOKED_CHANGE(1, CreateBridge, "create_bridge")
  FORKPLANE_HOOKED_CHANGE(1, CreateIfb, "create_ifb")
  FORKPLANE_HOOKED_CHANGE(2, SetUp, "set_up")
  FORKPLANE_HOOKED_CHANGE(2, SetMac, "set_mac")
  FORKPLANE_HOOKED_CHANGE(2, SetMtu, "set_mtu")
  FORKPLANE_HOOKED_CHANGE(2, SetName, "set_name")
  FORKPLANE_HOOKED_CHANGE(2, SetAlias, "set_alias")
  FORKPLANE_HOOKED_CHANGE(2, SetMaster, "set_master")
  FORKPLANE_HOOKED_CHANGE(2, SetPortUp, "set_port_up")
  FORKPLANE_HOOKED_CHANGE(2, SetPortIsolation, "set_port_isolation")
  FORKPLANE_HOOKED_CHANGE(1, Delete, "delete")
};
static_assert(!std::is_abstract_v<HookedLinkDriver>);

class HookedRouteDriver final : public Hooked<RouteDriver> {
 public:
  HookedRouteDriver(RouteDriver& inner, CallHook& hook) : Hooked("route", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(1, ListAddresses, "list_addresses")
  FORKPLANE_HOOKED_CHANGE(2, AddAddress, "add_address")
  FORKPLANE_HOOKED_CHANGE(2, DeleteAddress, "delete_address")
  FORKPLANE_HOOKED_LOOK(0, ListRoutes, "list_routes")
  FORKPLANE_HOOKED_LOOK(1, ListHostRoutes, "list_host_routes")
  FORKPLANE_HOOKED_LOOK(2, ObserveCidr, "observe_cidr")
  FORKPLANE_HOOKED_CHANGE(1, AddBlackhole, "add_blackhole")
  FORKPLANE_HOOKED_CHANGE(1, DeleteBlackhole, "delete_blackhole")
  FORKPLANE_HOOKED_CHANGE(2, DeleteConnectedRoute, "delete_connected_route")
  FORKPLANE_HOOKED_LOOK(0, HasUnjudgedRule, "has_unjudged_rule")
  FORKPLANE_HOOKED_CHANGE(0, AddUnjudgedRule, "add_unjudged_rule")
  FORKPLANE_HOOKED_CHANGE(0, DeleteUnjudgedRule, "delete_unjudged_rule")
  FORKPLANE_HOOKED_LOOK(2, HasHostRoute, "has_host_route")
  FORKPLANE_HOOKED_CHANGE(2, AddHostRoute, "add_host_route")
  FORKPLANE_HOOKED_CHANGE(2, DeleteHostRoute, "delete_host_route")
  FORKPLANE_HOOKED_LOOK(1, ListNeighbours, "list_neighbours")
  FORKPLANE_HOOKED_LOOK(2, ObserveNeighbour, "observe_neighbour")
  FORKPLANE_HOOKED_CHANGE(2, SetNeighbour, "set_neighbour")
  FORKPLANE_HOOKED_CHANGE(2, DeleteNeighbour, "delete_neighbour")
  FORKPLANE_HOOKED_LOOK(0, DefaultUplink, "default_uplink")
  FORKPLANE_HOOKED_LOOK(1, UplinkByName, "uplink_by_name")
};
static_assert(!std::is_abstract_v<HookedRouteDriver>);

class HookedTapDriver final : public Hooked<TapDriver> {
 public:
  HookedTapDriver(TapDriver& inner, CallHook& hook) : Hooked("tap", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(1, ObserveFile, "observe_file")
  FORKPLANE_HOOKED_CHANGE(1, Create, "create")
  FORKPLANE_HOOKED_LOOK(1, Dup, "dup")
  FORKPLANE_HOOKED_CHANGE(2, Adopt, "adopt")
  FORKPLANE_HOOKED_CHANGE(2, Reattach, "reattach")
  FORKPLANE_HOOKED_CHANGE(1, Forget, "forget")
  FORKPLANE_HOOKED_CHANGE(1, Delete, "delete")
};
static_assert(!std::is_abstract_v<HookedTapDriver>);

class HookedQdiscDriver final : public Hooked<QdiscDriver> {
 public:
  HookedQdiscDriver(QdiscDriver& inner, CallHook& hook) : Hooked("qdisc", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(1, ObservePort, "observe_port")
  FORKPLANE_HOOKED_LOOK(1, HasTbf, "has_tbf")
  FORKPLANE_HOOKED_LOOK(1, ObserveDomain, "observe_domain")
  FORKPLANE_HOOKED_LOOK(3, ObserveInterface, "observe_interface")
  FORKPLANE_HOOKED_LOOK(1, ObserveUplink, "observe_uplink")
  FORKPLANE_HOOKED_LOOK(1, ObserveClasses, "observe_classes")
  FORKPLANE_HOOKED_LOOK(0, ForeignLinksWithHtb, "foreign_links_with_htb")
  FORKPLANE_HOOKED_LOOK(0, HasFqCodel, "has_fq_codel")
  FORKPLANE_HOOKED_CHANGE(2, AddTbf, "add_tbf")
  FORKPLANE_HOOKED_CHANGE(3, ChangeTbf, "change_tbf")
  FORKPLANE_HOOKED_CHANGE(1, AddClsact, "add_clsact")
  FORKPLANE_HOOKED_CHANGE(1, DeleteClsact, "delete_clsact")
  FORKPLANE_HOOKED_CHANGE(2, AddHtb, "add_htb")
  FORKPLANE_HOOKED_CHANGE(1, DeleteRoot, "delete_root")
  FORKPLANE_HOOKED_CHANGE(2, AddClass, "add_class")
  FORKPLANE_HOOKED_CHANGE(2, ChangeClass, "change_class")
  FORKPLANE_HOOKED_CHANGE(2, DeleteClass, "delete_class")
  FORKPLANE_HOOKED_CHANGE(3, SetLeaf, "set_leaf")

  void ShapeOn(std::uint32_t link) override { inner_.ShapeOn(link); }
};
static_assert(!std::is_abstract_v<HookedQdiscDriver>);

class HookedIdentityDriver final : public Hooked<IdentityDriver> {
 public:
  HookedIdentityDriver(IdentityDriver& inner, CallHook& hook) : Hooked("identity", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(1, ObserveEntry, "observe_entry")
  FORKPLANE_HOOKED_LOOK(0, ListEntries, "list_entries")
  FORKPLANE_HOOKED_CHANGE(2, SetEntry, "set_entry")
  FORKPLANE_HOOKED_CHANGE(1, DeleteEntry, "delete_entry")
  FORKPLANE_HOOKED_LOOK(1, Counters, "counters")
  FORKPLANE_HOOKED_LOOK(1, ObservePrograms, "observe_programs")
  FORKPLANE_HOOKED_CHANGE(2, Attach, "attach")
  FORKPLANE_HOOKED_CHANGE(2, Detach, "detach")
  FORKPLANE_HOOKED_LOOK(0, ArePinned, "are_pinned")
  FORKPLANE_HOOKED_CHANGE(0, Pin, "pin")
  FORKPLANE_HOOKED_LOOK(1, ObserveClassifier, "observe_classifier")
  FORKPLANE_HOOKED_CHANGE(1, AttachClassifier, "attach_classifier")

  RedirectMode Mode() const override { return inner_.Mode(); }
};
static_assert(!std::is_abstract_v<HookedIdentityDriver>);

class HookedFirewallDriver final : public Hooked<FirewallDriver> {
 public:
  HookedFirewallDriver(FirewallDriver& inner, CallHook& hook) : Hooked("firewall", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(0, Observe, "observe")
  FORKPLANE_HOOKED_CHANGE(1, Replace, "replace")
  FORKPLANE_HOOKED_CHANGE(0, Remove, "remove")
  FORKPLANE_HOOKED_LOOK(0, ListRefused, "list_refused")
};
static_assert(!std::is_abstract_v<HookedFirewallDriver>);

class HookedFlowDriver final : public Hooked<FlowDriver> {
 public:
  HookedFlowDriver(FlowDriver& inner, CallHook& hook) : Hooked("flow", inner, hook) {}
  FORKPLANE_HOOKED_CHANGE(1, FlushAddress, "flush_address")
  FORKPLANE_HOOKED_CHANGE(1, FlushIf, "flush_if")
};
static_assert(!std::is_abstract_v<HookedFlowDriver>);

class HookedForwardingProbe final : public Hooked<ForwardingProbe> {
 public:
  HookedForwardingProbe(ForwardingProbe& inner, CallHook& hook)
      : Hooked("forwarding", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(3, Probe, "probe")
};
static_assert(!std::is_abstract_v<HookedForwardingProbe>);

class HookedSysctlDriver final : public Hooked<SysctlDriver> {
 public:
  HookedSysctlDriver(SysctlDriver& inner, CallHook& hook) : Hooked("sysctl", inner, hook) {}
  FORKPLANE_HOOKED_LOOK(0, BridgedFramesMeetIpRules, "bridged_frames_meet_ip_rules")
  FORKPLANE_HOOKED_LOOK(0, Ipv4Forwarding, "ipv4_forwarding")
  FORKPLANE_HOOKED_LOOK(0, ForeignForwarding, "foreign_forwarding")
  FORKPLANE_HOOKED_CHANGE(2, SetForeignForwarding, "set_foreign_forwarding")
  FORKPLANE_HOOKED_LOOK(1, Ipv6Disabled, "ipv6_disabled")
  FORKPLANE_HOOKED_CHANGE(1, DisableIpv6, "disable_ipv6")
  FORKPLANE_HOOKED_LOOK(2, IsOn, "is_on")
  FORKPLANE_HOOKED_CHANGE(2, SwitchOn, "switch_on")
};
static_assert(!std::is_abstract_v<HookedSysctlDriver>);

}  // namespace forkplane::drivers
