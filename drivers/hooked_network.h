// Decorators that show every call of a network driver to a CallHook: faults for tests, metrics in
// production. Each refers to an inner driver that must outlive it, and may be stacked.
#pragma once

#include <string>
#include <vector>

#include "drivers/call_hook.h"
#include "drivers/firewall_driver.h"
#include "drivers/flow_driver.h"
#include "drivers/forwarding_probe.h"
#include "drivers/identity_driver.h"
#include "drivers/link_driver.h"
#include "drivers/qdisc_driver.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"
#include "drivers/tap_driver.h"

namespace forkplane::drivers {

class HookedLinkDriver final : public LinkDriver {
 public:
  HookedLinkDriver(LinkDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Lookup<Link> Observe(std::uint32_t index) override;
  Lookup<Link> ObserveByName(const std::string& name) override;
  Result<std::vector<Link>> ListOwned() override;
  Status CreateBridge(const BridgeSpec& spec) override;
  Status CreateIfb(const IfbSpec& spec) override;
  Status SetUp(std::uint32_t index, bool up) override;
  Status SetMac(std::uint32_t index, const MacAddress& mac) override;
  Status SetMtu(std::uint32_t index, std::uint32_t mtu) override;
  Status SetName(std::uint32_t index, const std::string& name) override;
  Status SetAlias(std::uint32_t index, const std::string& alias) override;
  Status SetMaster(std::uint32_t index, std::uint32_t master) override;
  Status SetPortUp(std::uint32_t index, bool isolated) override;
  Status SetPortIsolation(std::uint32_t index, bool isolated) override;
  Status Delete(std::uint32_t index) override;

 private:
  LinkDriver& inner_;
  CallHook& hook_;
};

class HookedRouteDriver final : public RouteDriver {
 public:
  HookedRouteDriver(RouteDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Result<std::vector<Ipv4Prefix>> ListAddresses(std::uint32_t index) override;
  Status AddAddress(std::uint32_t index, const Ipv4Prefix& address) override;
  Status DeleteAddress(std::uint32_t index, const Ipv4Prefix& address) override;
  Result<CidrRoutes> ObserveCidr(std::uint32_t index, const Ipv4Prefix& cidr) override;
  Status AddBlackhole(const Ipv4Prefix& cidr) override;
  Status DeleteBlackhole(const Ipv4Prefix& cidr) override;
  Status DeleteConnectedRoute(std::uint32_t index, const Ipv4Prefix& cidr) override;
  Result<bool> HasUnjudgedRule() override;
  Status AddUnjudgedRule() override;
  Status DeleteUnjudgedRule() override;
  Result<std::vector<Route>> ListRoutes() override;
  Result<std::vector<Ipv4>> ListHostRoutes(std::uint32_t index) override;
  Result<bool> HasHostRoute(std::uint32_t index, Ipv4 address) override;
  Status AddHostRoute(std::uint32_t index, Ipv4 address) override;
  Status DeleteHostRoute(std::uint32_t index, Ipv4 address) override;
  Result<std::vector<Neighbour>> ListNeighbours(std::uint32_t index) override;
  Lookup<MacAddress> ObserveNeighbour(std::uint32_t index, Ipv4 address) override;
  Status SetNeighbour(std::uint32_t index, const Neighbour& neighbour) override;
  Status DeleteNeighbour(std::uint32_t index, Ipv4 address) override;
  Lookup<Uplink> DefaultUplink() override;
  Lookup<Uplink> UplinkByName(const std::string& name) override;

 private:
  RouteDriver& inner_;
  CallHook& hook_;
};

class HookedTapDriver final : public TapDriver {
 public:
  HookedTapDriver(TapDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Result<TapFile> ObserveFile(std::uint32_t number) override;
  Status Create(const TapSpec& spec) override;
  Result<UniqueFd> Dup(std::uint32_t number) override;
  Status Adopt(std::uint32_t number, pid_t pid) override;
  Status Reattach(const TapSpec& spec, pid_t pid) override;
  Status Forget(std::uint32_t number) override;
  Status Delete(std::uint32_t number) override;

 private:
  TapDriver& inner_;
  CallHook& hook_;
};

class HookedQdiscDriver final : public QdiscDriver {
 public:
  HookedQdiscDriver(QdiscDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Result<PortQdiscs> ObservePort(std::uint32_t index) override;
  Result<bool> HasTbf(std::uint32_t index) override;
  Result<DomainQdiscs> ObserveDomain(std::uint32_t index) override;
  Result<DomainQdiscs> ObserveInterface(std::uint32_t index, std::uint32_t minor,
                                        std::uint32_t tap) override;
  Result<UplinkQdiscs> ObserveUplink(std::uint32_t index) override;
  Result<std::vector<ObservedClass>> ObserveClasses(std::uint32_t index) override;
  void ShapeOn(std::uint32_t link) override { inner_.ShapeOn(link); }
  Result<std::vector<std::uint32_t>> ForeignLinksWithHtb() override;
  Result<bool> HasFqCodel() override;
  Status AddTbf(std::uint32_t index, const Tbf& tbf) override;
  Status ChangeTbf(std::uint32_t index, const Tbf& tbf, Queue queue) override;
  Status AddClsact(std::uint32_t index) override;
  Status DeleteClsact(std::uint32_t index) override;
  Status AddHtb(std::uint32_t index, std::uint32_t default_minor) override;
  Status DeleteRoot(std::uint32_t index) override;
  Status AddClass(std::uint32_t index, const HtbClass& htb) override;
  Status ChangeClass(std::uint32_t index, const HtbClass& htb) override;
  Status DeleteClass(std::uint32_t index, std::uint32_t minor) override;
  Status SetLeaf(std::uint32_t index, std::uint32_t minor, const Leaf& leaf) override;

 private:
  QdiscDriver& inner_;
  CallHook& hook_;
};

class HookedIdentityDriver final : public IdentityDriver {
 public:
  HookedIdentityDriver(IdentityDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  RedirectMode Mode() const override { return inner_.Mode(); }
  Lookup<IdentityEntry> ObserveEntry(std::uint32_t index) override;
  Result<std::vector<IdentityEntryAt>> ListEntries() override;
  Status SetEntry(std::uint32_t index, const IdentityEntry& entry) override;
  Status DeleteEntry(std::uint32_t index) override;
  Result<IdentityCounters> Counters(std::uint32_t index) override;
  Result<AttachedPrograms> ObservePrograms(std::uint32_t index) override;
  Status Attach(std::uint32_t index, Direction direction) override;
  Status Detach(std::uint32_t index, Direction direction) override;
  Result<bool> ArePinned() override;
  Status Pin() override;
  Result<ProgramState> ObserveClassifier(std::uint32_t index) override;
  Status AttachClassifier(std::uint32_t index) override;

 private:
  IdentityDriver& inner_;
  CallHook& hook_;
};

class HookedFirewallDriver final : public FirewallDriver {
 public:
  HookedFirewallDriver(FirewallDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Lookup<FirewallRules> Observe() override;
  Status Replace(const FirewallRules& rules) override;
  Status Remove() override;
  Result<std::vector<RefusedFlows>> ListRefused() override;

 private:
  FirewallDriver& inner_;
  CallHook& hook_;
};

class HookedFlowDriver final : public FlowDriver {
 public:
  HookedFlowDriver(FlowDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Result<std::size_t> FlushAddress(Ipv4 address) override;
  Result<std::size_t> FlushIf(const std::function<bool(const Flow&)>& ends) override;

 private:
  FlowDriver& inner_;
  CallHook& hook_;
};

class HookedForwardingProbe final : public ForwardingProbe {
 public:
  HookedForwardingProbe(ForwardingProbe& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Result<ForwardingVerdict> Probe(std::uint32_t bridge, Ipv4 source) override;

 private:
  ForwardingProbe& inner_;
  CallHook& hook_;
};

class HookedSysctlDriver final : public SysctlDriver {
 public:
  HookedSysctlDriver(SysctlDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Result<bool> Ipv4Forwarding() override;
  Status EnableIpv4Forwarding() override;
  Result<bool> Ipv6Disabled(const std::string& link) override;
  Status DisableIpv6(const std::string& link) override;
  Result<bool> IsOn(const std::string& link, LinkSwitch which) override;
  Status SwitchOn(const std::string& link, LinkSwitch which) override;

 private:
  SysctlDriver& inner_;
  CallHook& hook_;
};

}  // namespace forkplane::drivers
