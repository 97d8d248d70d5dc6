#include "reconcilers/network/reconciler.h"

#include <algorithm>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"

namespace forkplane::network {
namespace {

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
  Status operator()(const SetUp&) { return on.links.SetUp(index, true); }
  Status operator()(const ReplaceFirewall&) {
    return on.firewall.Replace(
        {want.firewall.value_or(std::vector<drivers::FirewallNetwork>()), {}});
  }
  Status operator()(const RemoveFirewall&) { return on.firewall.Remove(); }
};

Result<ledger::NetworkParameters> ParametersOf(const crd::Network& object) {
  ASSIGN_OR_RETURN(const Cidr cidr, ParseCidr(object.spec.cidr));
  ledger::NetworkParameters parameters;
  parameters.uid = object.metadata.uid;
  parameters.name = object.metadata.name;
  parameters.cidr = cidr;
  parameters.gateway = DefaultGateway(cidr);
  if (!object.spec.gateway.empty()) {
    ASSIGN_OR_RETURN(parameters.gateway, ParseIpv4(object.spec.gateway));
  }
  parameters.mtu = static_cast<std::uint32_t>(object.spec.mtu);
  parameters.unshaped_rate_bits = static_cast<std::uint64_t>(object.spec.unshaped_rate.Value());
  parameters.isolation = object.spec.isolation;
  parameters.routed = object.spec.mode == crd::NetworkMode::kRouted;
  parameters.address_rest =
      std::chrono::duration_cast<std::chrono::milliseconds>(object.spec.address_rest.Value());
  const std::vector<std::string>& dns = object.spec.dns;
  for (std::size_t i = 0; i < std::min(dns.size(), parameters.dns.size()); ++i) {
    ASSIGN_OR_RETURN(parameters.dns.at(i), ParseIpv4(dns[i]));
  }
  return parameters;
}

constexpr std::uint8_t kHostPrefixLength = 32;

Ipv4Prefix PrefixOf(const Cidr& cidr, Ipv4 address) {
  return {address, static_cast<std::uint8_t>(cidr.prefix)};
}

crd::Condition Make(std::string_view type, crd::ConditionStatus status, std::string reason,
                    std::string message) {
  crd::Condition condition;
  condition.type = type;
  condition.status = status;
  condition.reason = std::move(reason);
  condition.message = std::move(message);
  return condition;
}

}  // namespace

NetworkReconciler::NetworkReconciler(ledger::Ledger& ledger, Objects& objects, Drivers drivers,
                                     std::string host_name, Clock& clock)
    : ledger_(ledger),
      objects_(objects),
      drivers_(drivers),
      host_name_(std::move(host_name)),
      forwarding_(drivers.forwarding, clock) {}

Result<runtime::Next> NetworkReconciler::Reconcile(const std::string& key,
                                                   const std::stop_token& stop) {
  const auto object = objects_.Get(key);
  if (!object) return runtime::Next::Done();
  if (object->metadata.IsBeingDeleted()) return Remove(*object, stop);
  return Raise(*object, stop);
}

Result<runtime::Next> NetworkReconciler::Raise(const crd::Network& object,
                                               const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const ledger::NetworkParameters parameters, ParametersOf(object));
  Outcome outcome;
  ASSIGN_OR_RETURN(outcome.conflict, OverlappingRoute(parameters.cidr));
  const bool stands = ledger_.GetNetwork(parameters.uid).has_value();
  if (!outcome.conflict.empty() && !stands) {
    outcome.reason = "Conflict";
    outcome.message = outcome.conflict;
    Report(object, outcome);
    return runtime::Next::After(std::chrono::seconds(30));  // routes of others have no events here
  }
  RETURN_IF_ERROR(objects_.AddFinalizer(object));
  auto lease = ledger_.ClaimNetwork(parameters);
  Status status = lease.ok() ? OkStatus() : Status(lease.error());
  bool changed = false;
  if (lease.ok()) {
    const auto converged = ConvergeAll(*lease, true, stop);
    if (converged.ok()) changed = *converged;
    if (!converged.ok()) status = converged.error();
  }
  if (status.ok()) {
    RETURN_IF_ERROR(JudgeWayOut(object, *lease, changed, outcome));
    Report(object, outcome);
    return runtime::Next::Done();
  }
  const bool conflict = !lease.ok() && status.error().code == Code::kConflict;
  outcome.reason = conflict ? "Conflict" : "Retrying";
  outcome.message = status.error().message;
  if (conflict) outcome.conflict = status.error().message;
  Report(object, outcome);
  return std::move(status).error();
}

Result<runtime::Next> NetworkReconciler::Remove(const crd::Network& object,
                                                const std::stop_token& stop) {
  const std::string& uid = object.metadata.uid;
  if (!object.metadata.HasFinalizer(kFinalizer)) return runtime::Next::Done();
  const auto lease = ledger_.GetNetwork(uid);
  if (lease) {
    const std::size_t users = ledger_.InterfacesOfNetwork(uid).size();
    if (users > 0) {
      Outcome outcome;
      outcome.reason = "InUse";
      outcome.message = fmt::format("deletion waits for {} interfaces", users);
      Report(object, outcome);
      return runtime::Next::Done();  // the ledger's change queues the key again
    }
    RETURN_IF_ERROR(ledger_.BeginReleaseNetwork(uid));
    RETURN_IF_ERROR(ConvergeAll(*lease, false, stop));
    RETURN_IF_ERROR(ledger_.ConfirmNetworkAbsent(uid));
    forwarding_.Forget(uid);
  }
  RETURN_IF_ERROR(objects_.RemoveFinalizer(object));
  return runtime::Next::Done();
}

// The first route of somebody else that shares an address with the cidr, in words; "" when none
// does. A default route shares all and conflicts with nothing; our bridges' and TAPs' are ours.
Result<std::string> NetworkReconciler::OverlappingRoute(const Cidr& cidr) {
  ASSIGN_OR_RETURN(const auto routes, drivers_.routes.ListRoutes());
  const Ipv4Prefix block = PrefixOf(cidr, cidr.base);
  for (const auto& route : routes) {
    const bool ours = IsBridgeIndex(route.index) || IsTapIndex(route.index);
    if (ours || route.destination.length == 0 || !route.destination.Overlaps(block)) continue;
    return fmt::format("spec.cidr {} overlaps the route {}{}{}; choose another cidr",
                       ToString(cidr), ToString(route.destination),
                       route.device.empty() ? "" : " dev ", route.device);
  }
  return std::string();
}

Result<std::string> NetworkReconciler::UplinkName() {
  ASSIGN_OR_RETURN(const auto uplink, drivers_.routes.DefaultUplink());
  return uplink ? uplink->name : std::string();
}

// What keeps the guests of a Network that stands from getting out of the host.
Status NetworkReconciler::JudgeWayOut(const crd::Network& object, const ledger::NetworkLease& lease,
                                      bool changed, Outcome& outcome) {
  const ledger::NetworkParameters& parameters = lease.parameters;
  const std::string& named = object.spec.uplink.interface;
  ASSIGN_OR_RETURN(const std::string uplink, UplinkName());
  outcome.no_uplink = object.spec.nat == crd::Nat::kMasquerade && named.empty() && uplink.empty();
  if (outcome.no_uplink) outcome.message = "no default route: nothing is masqueraded";
  if (!uplink.empty()) {
    outcome.blocked =
        forwarding_.WhoBlocks(parameters.uid, lease.bridge, InnerAddress(parameters.cidr), changed);
  }
  if (named.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const auto link, drivers_.routes.UplinkByName(named));
  if (link) return OkStatus();
  // It may come yet: everything of the Network stands and waits for it.
  outcome.reason = "UplinkNotFound";
  outcome.message = fmt::format(
      "spec.uplink.interface: this host has no link \"{}\": guests reach this host and nobody "
      "else; "
      "name another, or leave it out for that of the default route",
      named);
  return OkStatus();
}

std::vector<drivers::FirewallNetwork> NetworkReconciler::DesireFirewall(
    const Observed& observed, const std::string& uplink) const {
  std::vector<drivers::FirewallNetwork> rules;
  for (const auto& lease : ledger_.Networks()) {
    if (lease.releasing) continue;
    const ledger::NetworkParameters& parameters = lease.parameters;
    const auto object = objects_.Get(parameters.name);
    drivers::FirewallNetwork rule;
    rule.cidr = PrefixOf(parameters.cidr, parameters.cidr.base);
    rule.isolated = parameters.isolation;
    if (object && object->metadata.uid == parameters.uid) {
      const std::string& named = object->spec.uplink.interface;
      rule.uplink = named.empty() ? uplink : named;
      rule.masquerade = object->spec.nat == crd::Nat::kMasquerade && !rule.uplink.empty();
    } else if (observed.firewall) {
      // Its object is not known: what stands, stays.
      for (const auto& is : observed.firewall->networks) {
        if (is.cidr == rule.cidr) rule = is;
      }
    }
    if (!rule.masquerade) rule.uplink.clear();
    rules.push_back(std::move(rule));
  }
  std::sort(rules.begin(), rules.end(),
            [](const auto& a, const auto& b) { return a.cidr < b.cidr; });
  return rules;
}

Desired NetworkReconciler::Desire(const ledger::NetworkLease& lease, const Bridge& bridge,
                                  const Observed& observed, const std::string& uplink) const {
  const ledger::NetworkParameters& parameters = lease.parameters;
  Desired desired;
  desired.present = bridge.present;
  desired.bridge = bridge.number;
  desired.alias = parameters.uid;
  desired.mtu = parameters.mtu;
  desired.gateway = PrefixOf(parameters.cidr, parameters.gateway);
  if (!bridge.first) desired.gateway.length = kHostPrefixLength;
  desired.firewall.reset();
  if (bridge.first) desired.firewall = DesireFirewall(observed, uplink);
  return desired;
}

Result<Observed> NetworkReconciler::Observe(const Bridge& bridge) {
  const std::uint32_t index = BridgeIndex(bridge.number);
  Observed observed;
  ASSIGN_OR_RETURN(observed.link, drivers_.links.Observe(index));
  if (observed.link) {
    // The switch of a link that somebody renamed is not looked for under a name that is not ours.
    if (observed.link->name == BridgeName(bridge.number)) {
      ASSIGN_OR_RETURN(observed.ipv6_disabled, drivers_.sysctls.Ipv6Disabled(observed.link->name));
    }
    ASSIGN_OR_RETURN(observed.addresses, drivers_.routes.ListAddresses(index));
  }
  if (bridge.first) {
    ASSIGN_OR_RETURN(observed.firewall, drivers_.firewall.Observe());
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
  ASSIGN_OR_RETURN(const std::string uplink, UplinkName());
  Desired desired;
  bool changed = false;
  RETURN_IF_ERROR(runtime::Converge<Observed>(
      [&] { return Observe(bridge); },
      [&](const Observed& is) {
        desired = Desire(lease, bridge, is, uplink);
        return MakePlan(desired, is);
      },
      [&](const Action& action) {
        log::Debug("network action", {{"network", lease.parameters.name},
                                      {"bridge", BridgeName(bridge.number)},
                                      {"action", ToString(action)}});
        changed = true;
        return std::visit(Executor{drivers_, desired, BridgeIndex(bridge.number)}, action);
      },
      stop));
  return changed;
}

void NetworkReconciler::Report(const crd::Network& object, const Outcome& outcome) {
  using crd::ConditionStatus;
  crd::NetworkStatus status;
  status.observed_generation = object.metadata.generation;
  const bool ready = outcome.reason == "Ready";
  status.conditions.push_back(Make(crd::condition::kReady,
                                   ready ? ConditionStatus::kTrue : ConditionStatus::kFalse,
                                   outcome.reason, outcome.message));
  if (!outcome.conflict.empty()) {
    status.conditions.push_back(
        Make(crd::condition::kConflict, ConditionStatus::kTrue, "CidrOverlaps", outcome.conflict));
  }
  if (!outcome.blocked.empty()) {
    status.conditions.push_back(Make(crd::condition::kForwardingBlocked, ConditionStatus::kTrue,
                                     "DroppedByAnotherTable", outcome.blocked));
  }
  for (auto& condition : status.conditions) {
    condition.observed_generation = object.metadata.generation;
  }
  if (const auto lease = ledger_.GetNetwork(object.metadata.uid)) {
    const ledger::AddressUse use = ledger_.AddressesOf(object.metadata.uid);
    crd::NetworkHostStatus host;
    host.name = host_name_;
    host.bridges = {BridgeName(lease->bridge)};
    for (const auto& further : lease->further) host.bridges.push_back(BridgeName(further.number));
    host.ports = static_cast<std::int64_t>(ledger_.InterfacesOfNetwork(object.metadata.uid).size());
    host.addresses = {static_cast<std::int64_t>(use.used), static_cast<std::int64_t>(use.free)};
    host.conditions = status.conditions;
    status.hosts.push_back(std::move(host));
  }
  objects_.Report(object, status);
}

std::vector<std::string> NetworkReconciler::KeysOf(const ledger::Change& change) const {
  const bool ours = change.kind == ledger::Change::Kind::kNetwork ||
                    change.kind == ledger::Change::Kind::kInterface;
  return ours ? std::vector<std::string>{change.network_name} : std::vector<std::string>{};
}

std::vector<std::string> NetworkReconciler::KeysOf(const drivers::LinkEvent& event) const {
  using drivers::LinkEventKind;
  const bool lost = event.kind == LinkEventKind::kLost;
  const bool of_tap =
      event.kind == LinkEventKind::kRoute || event.kind == LinkEventKind::kNeighbour;
  if (!lost && (!IsBridgeIndex(event.index) || of_tap)) return {};
  std::vector<std::string> keys;
  for (const auto& lease : ledger_.Networks()) {
    const bool its =
        BridgeIndex(lease.bridge) == event.index ||
        std::any_of(lease.further.begin(), lease.further.end(),
                    [&](const auto& bridge) { return BridgeIndex(bridge.number) == event.index; });
    if (lost || its) keys.push_back(lease.parameters.name);
  }
  return keys;
}

}  // namespace forkplane::network
