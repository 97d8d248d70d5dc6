// What is wanted of a Network's bridges, what is seen of them, and the way from one to the other.
#include <algorithm>
#include <set>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "reconcilers/network/flows.h"
#include "reconcilers/network/reconciler.h"

namespace forkplane::network {
namespace {

constexpr std::uint8_t kHostPrefixLength = 32;

struct Executor {
  const Drivers& on;
  const Desired& want;
  std::uint32_t index;

  Status operator()(const CreateBridge&) {
    return on.links.CreateBridge({want.bridge, kGatewayMac, want.alias, want.mtu});
  }
  Status operator()(const DeleteLink&) { return on.links.Delete(index); }
  Status operator()(const SetMac&) { return on.links.SetMac(index, kGatewayMac); }
  Status operator()(const SetMtu&) { return on.links.SetMtu(index, want.mtu); }
  Status operator()(const SetDown&) { return on.links.SetUp(index, false); }
  Status operator()(const SetName&) { return on.links.SetName(index, BridgeName(want.bridge)); }
  Status operator()(const SetAlias&) { return on.links.SetAlias(index, want.alias); }
  Status operator()(const DisableIpv6&) { return on.sysctls.DisableIpv6(BridgeName(want.bridge)); }
  Status operator()(const DeleteAddress& a) { return on.routes.DeleteAddress(index, a.address); }
  Status operator()(const AddAddress&) { return on.routes.AddAddress(index, want.gateway); }
  Status operator()(const SwitchOn& a) {
    return on.sysctls.SwitchOn(BridgeName(want.bridge), a.which);
  }
  Status operator()(const AddBlackhole&) { return on.routes.AddBlackhole(*want.cidr); }
  Status operator()(const DeleteBlackhole&) { return on.routes.DeleteBlackhole(*want.cidr); }
  Status operator()(const DeleteConnectedRoute&) {
    return on.routes.DeleteConnectedRoute(index, *want.cidr);
  }
  Status operator()(const AddProbeRoute&) { return on.routes.AddHostRoute(index, want.probe); }
  Status operator()(const SetUp&) { return on.links.SetUp(index, true); }
  Status operator()(const AddUnjudgedRule&) { return on.routes.AddUnjudgedRule(); }
  Status operator()(const DeleteUnjudgedRule&) { return on.routes.DeleteUnjudgedRule(); }
  Status operator()(const ReplaceFirewall&) {
    return on.firewall.Replace(want.firewall.value_or(drivers::FirewallRules()));
  }
  Status operator()(const OpenLink& a) { return on.sysctls.SetForeignForwarding(a.name, true); }
  Status operator()(const CloseLink& a) { return on.sysctls.SetForeignForwarding(a.name, false); }
  Status operator()(const RemoveFirewall&) { return on.firewall.Remove(); }
  Status operator()(const FlushFlows&) {
    ASSIGN_OR_RETURN(const auto addresses, on.routes.ListAddresses(drivers::kEveryLink));
    std::set<Ipv4> host;
    for (const Ipv4Prefix& address : addresses) host.insert(address.address);
    const drivers::FirewallRules& rules = *want.firewall;
    const auto forbidden = [&](const drivers::Flow& flow) {
      return IsForbidden(rules, host, flow);
    };
    ASSIGN_OR_RETURN(const std::size_t flushed, on.flows.FlushIf(forbidden));
    if (flushed > 0) log::Info("ended connections that the rules forbid", {{"count", flushed}});
    return OkStatus();
  }
};

}  // namespace

Result<Desired> NetworkReconciler::Desire(const ledger::NetworkLease& lease, const Bridge& bridge,
                                          const Observed& observed) {
  const ledger::NetworkParameters& parameters = lease.parameters;
  Desired desired;
  desired.present = bridge.present;
  desired.bridge = bridge.number;
  desired.alias = parameters.uid;
  desired.mtu = parameters.mtu;
  desired.isolated = parameters.isolation;
  desired.gateway = PrefixOf(parameters.cidr, parameters.gateway);
  if (!bridge.first) desired.gateway.length = kHostPrefixLength;
  if (bridge.first) desired.cidr = PrefixOf(parameters.cidr, parameters.cidr.base);
  desired.probe = InnerAddress(parameters.cidr);
  desired.firewall.reset();
  if (bridge.first) {
    ASSIGN_OR_RETURN(desired.firewall, DesireFirewall(observed));
    desired.flows_doubtful = flows_doubtful_;
  }
  return desired;
}

Result<Observed> NetworkReconciler::Observe(const ledger::NetworkParameters& network,
                                            const Bridge& bridge) {
  const std::uint32_t index = BridgeIndex(bridge.number);
  Observed observed;
  if (bridge.first) {
    ASSIGN_OR_RETURN(observed, ObserveRules());
  }
  ASSIGN_OR_RETURN(observed.link, drivers_.links.Observe(index));
  if (observed.link) {
    // The switch of a link that somebody renamed is not looked for under a name that is not ours.
    if (observed.link->name == BridgeName(bridge.number)) {
      const std::string& name = observed.link->name;
      ASSIGN_OR_RETURN(observed.ipv6_disabled, drivers_.sysctls.Ipv6Disabled(name));
      ASSIGN_OR_RETURN(observed.switches, drivers::ObserveGuestLink(drivers_.sysctls, name));
    }
    ASSIGN_OR_RETURN(observed.addresses, drivers_.routes.ListAddresses(index));
  }
  if (bridge.first) {
    ASSIGN_OR_RETURN(observed.routes,
                     drivers_.routes.ObserveCidr(index, PrefixOf(network.cidr, network.cidr.base)));
    ASSIGN_OR_RETURN(observed.probe_route,
                     drivers_.routes.HasHostRoute(index, InnerAddress(network.cidr)));
  }
  return observed;
}

// The first bridge has the rules, so it comes first.
Result<bool> NetworkReconciler::ConvergeAll(const ledger::NetworkLease& lease, bool present,
                                            const std::stop_token& stop) {
  ASSIGN_OR_RETURN(bool changed, Converge(lease, {lease.bridge, true, present}, stop));
  for (const ledger::FurtherBridge& further : lease.further) {
    ASSIGN_OR_RETURN(const bool more, ConvergeFurther(lease, further, present, stop));
    changed = changed || more;
  }
  return changed;
}

// One that has lost its last port goes; a claim that takes it again meanwhile keeps it.
Result<bool> NetworkReconciler::ConvergeFurther(const ledger::NetworkLease& lease,
                                                const ledger::FurtherBridge& further, bool present,
                                                const std::stop_token& stop) {
  bool goes = further.releasing;
  if (!goes && (!present || ledger_.PortsOf(further.number) == 0)) {
    Status released = ledger_.BeginReleaseBridge(further.number);
    const bool taken = !released.ok() && released.error().code == Code::kConflict;
    if (!released.ok() && !(taken && present)) return std::move(released).error();
    goes = !taken;
  }
  ASSIGN_OR_RETURN(const bool changed, Converge(lease, {further.number, false, !goes}, stop));
  if (goes) RETURN_IF_ERROR(ledger_.ConfirmBridgeAbsent(further.number));
  return changed;
}

Result<bool> NetworkReconciler::Converge(const ledger::NetworkLease& lease, const Bridge& bridge,
                                         const std::stop_token& stop) {
  Desired desired;
  bool changed = false;
  if (!bridge.present) bridge_repairs_.Forget(bridge.number);
  RETURN_IF_ERROR(runtime::Converge<Observed>(
      [&]() -> Result<Observed> {
        ASSIGN_OR_RETURN(Observed is, Observe(lease.parameters, bridge));
        ASSIGN_OR_RETURN(desired, Desire(lease, bridge, is));
        return is;
      },
      [&](const Observed& is) {
        bridge_repairs_.Want(bridge.number, DesiredBridge(desired));
        if (desired.firewall) {
          repairs_.Want(kRulesKey, *desired.firewall);
        }
        return Plan(desired, is);
      },
      [&](const Action& action) {
        changed = true;
        return Execute(lease.parameters.name, desired, action);
      },
      stop));
  if (bridge.present) bridge_repairs_.Saw(bridge.number, DesiredBridge(desired));
  if (desired.firewall) repairs_.Saw(kRulesKey, *desired.firewall);
  return changed;
}

// A flush that is planned stays due until it is done, whatever happens to the plan.
std::vector<Action> NetworkReconciler::Plan(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  if (!desired.firewall) return plan;  // a further bridge
  flows_doubtful_ = std::any_of(plan.begin(), plan.end(), [](const Action& action) {
    return std::holds_alternative<FlushFlows>(action);
  });
  return plan;
}

Status NetworkReconciler::Execute(const std::string& name, const Desired& desired,
                                  const Action& action) {
  log::Debug(
      "network action",
      {{"network", name}, {"bridge", BridgeName(desired.bridge)}, {"action", ToString(action)}});
  RETURN_IF_ERROR(std::visit(Executor{drivers_, desired, BridgeIndex(desired.bridge)}, action));
  const bool of_rules = std::holds_alternative<ReplaceFirewall>(action) ||
                        std::holds_alternative<AddUnjudgedRule>(action);
  const bool of_links = std::holds_alternative<OpenLink>(action);
  if (of_rules || of_links) {
    repairs_.Did(kRulesKey, of_rules ? kRulesPart : kForwardingPart);
  } else if (std::holds_alternative<FlushFlows>(action)) {
    flows_doubtful_ = false;
  } else if (!std::holds_alternative<RemoveFirewall>(action) &&
             !std::holds_alternative<CloseLink>(action) &&
             !std::holds_alternative<DeleteUnjudgedRule>(action)) {
    bridge_repairs_.Did(desired.bridge, kBridgePart);
  }
  return OkStatus();
}

}  // namespace forkplane::network
