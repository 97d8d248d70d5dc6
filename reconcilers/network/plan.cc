#include "reconcilers/network/plan.h"

#include "controller/base/network_names.h"
#include "controller/runtime/plan_text.h"
#include "reconcilers/network/flows.h"

namespace forkplane::network {
namespace {

// While the rules stand that keep others from passing.
void PlanClosing(const Observed& observed, std::vector<Action>& plan) {
  if (observed.host_forwards || !observed.firewall) return;
  for (const std::string& name : observed.firewall->opened) {
    const auto link = observed.foreign.find(name);
    if (link != observed.foreign.end() && link->second) plan.emplace_back(CloseLink{name});
  }
}

void PlanOpening(const Desired& desired, const Observed& observed, std::vector<Action>& plan) {
  for (const std::string& name : desired.firewall->opened) {
    const auto link = observed.foreign.find(name);
    if (link != observed.foreign.end() && !link->second) plan.emplace_back(OpenLink{name});
  }
}

void PlanFirewall(const Desired& desired, const Observed& observed, std::vector<Action>& plan) {
  if (!desired.firewall) return;
  if (desired.firewall->networks.empty()) {
    PlanClosing(observed, plan);
    if (observed.firewall) plan.emplace_back(RemoveFirewall{});
    if (observed.unjudged_rule) plan.emplace_back(DeleteUnjudgedRule{});
    return;
  }
  if (!observed.unjudged_rule) plan.emplace_back(AddUnjudgedRule{});
  const bool differs = observed.firewall != desired.firewall;
  if (differs) plan.emplace_back(ReplaceFirewall{});
  const bool closes =
      differs && (!observed.firewall || Closes(*observed.firewall, *desired.firewall));
  if (closes || desired.flows_doubtful) plan.emplace_back(FlushFlows{});
  PlanOpening(desired, observed, plan);
}

void PlanRoutes(const Desired& desired, const Observed& observed, std::vector<Action>& plan) {
  if (!desired.cidr) return;
  if (!observed.routes.blackhole) plan.emplace_back(AddBlackhole{});
  // Of an address that was added by an earlier version, or comes back when the link goes up.
  if (observed.routes.connected) plan.emplace_back(DeleteConnectedRoute{});
}

void PlanSwitches(const Desired& desired, const Observed& observed, std::vector<Action>& plan) {
  for (const drivers::LinkSwitch which : drivers::WantedSwitches(desired.isolated)) {
    if (!observed.switches.contains(which)) plan.emplace_back(SwitchOn{which});
  }
}

void PlanBridge(const Desired& desired, const Observed& observed, std::vector<Action>& plan) {
  bool there = observed.link.has_value();
  if (there && observed.link->kind != drivers::LinkKind::kBridge) {
    plan.emplace_back(DeleteLink{});
    there = false;
  }
  if (!there) {
    plan.insert(plan.end(), {CreateBridge{}, DisableIpv6{}});
    PlanSwitches(desired, {}, plan);
    plan.insert(plan.end(), {AddAddress{}, SetUp{}});
    if (desired.cidr) plan.emplace_back(AddProbeRoute{});
    return;
  }
  drivers::Link link = *observed.link;
  if (link.name != BridgeName(desired.bridge)) {
    if (link.up) plan.emplace_back(SetDown{});  // older kernels rename only what is down
    plan.emplace_back(SetName{});
    link.up = false;
  }
  if (link.mac != kGatewayMac) plan.emplace_back(SetMac{});
  if (link.mtu != desired.mtu) plan.emplace_back(SetMtu{});
  if (link.alias != desired.alias) plan.emplace_back(SetAlias{});
  if (!observed.ipv6_disabled) plan.emplace_back(DisableIpv6{});
  PlanSwitches(desired, observed, plan);
  bool addressed = false;
  for (const Ipv4Prefix& address : observed.addresses) {
    if (address == desired.gateway) {
      addressed = true;
    } else {
      plan.emplace_back(DeleteAddress{address});
    }
  }
  if (!addressed) plan.emplace_back(AddAddress{});
  if (!link.up) plan.emplace_back(SetUp{});
  // A link that goes down loses its routes.
  if (desired.cidr && (!link.up || !observed.probe_route)) plan.emplace_back(AddProbeRoute{});
}

}  // namespace

Ipv4Prefix PrefixOf(const Cidr& cidr, Ipv4 address) {
  return {address, static_cast<std::uint8_t>(cidr.prefix)};
}

std::string DeleteAddress::Text() const { return "DeleteAddress " + ToString(address); }
std::string SwitchOn::Text() const { return fmt::format("SwitchOn {}", ToString(which)); }
std::string OpenLink::Text() const { return "OpenLink " + name; }
std::string CloseLink::Text() const { return "CloseLink " + name; }

std::string ToString(const Action& action) { return runtime::ActionText(action); }

// Rules before the bridge comes up and before it goes: no moment in which guests reach each other
// through the gateway.
std::vector<Action> MakePlan(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan;
  PlanFirewall(desired, observed, plan);
  if (desired.present) {
    PlanRoutes(desired, observed, plan);
    PlanBridge(desired, observed, plan);
    return plan;
  }
  if (observed.link) plan.emplace_back(DeleteLink{});
  if (desired.cidr && observed.routes.blackhole) plan.emplace_back(DeleteBlackhole{});
  return plan;
}

}  // namespace forkplane::network
