#include "reconcilers/network/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "crd/json.h"

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
  Status operator()(const ReplaceFirewall&) { return on.firewall.Replace({want.firewall, {}}); }
  Status operator()(const RemoveFirewall&) { return on.firewall.Remove(); }
};

constexpr const char* kBridgePart = "bridge";
constexpr const char* kRulesPart = "rules";
constexpr const char* kRulesKey = "rules";

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
  parameters.address_rest =
      std::chrono::duration_cast<std::chrono::milliseconds>(object.spec.address_rest.Value());
  const std::vector<std::string>& dns = object.spec.dns;
  for (std::size_t i = 0; i < std::min(dns.size(), parameters.dns.size()); ++i) {
    ASSIGN_OR_RETURN(parameters.dns.at(i), ParseIpv4(dns[i]));
  }
  return parameters;
}

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
                                     std::string host_name, metrics::Registry* registry)
    : ledger_(ledger),
      objects_(objects),
      drivers_(drivers),
      host_name_(std::move(host_name)),
      bridge_repairs_(registry, "network", {kBridgePart}),
      repairs_(registry, "network", {kRulesPart}) {}

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
  if (object.spec.mode != crd::NetworkMode::kBridge) {
    outcome.reason = "ModeNotSupported";
    outcome.message = "spec.mode: this version knows Bridge only";
    Report(object, outcome);
    return runtime::Next::Done();
  }
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
  if (lease.ok()) {
    auto observed = Converge(*lease, true, stop);
    if (!observed.ok()) status = std::move(observed).error();
  }
  if (status.ok()) {
    ASSIGN_OR_RETURN(const std::string uplink, UplinkName());
    const bool named = !object.spec.uplink.interface.empty();
    outcome.no_uplink = object.spec.nat == crd::Nat::kMasquerade && !named && uplink.empty();
    if (outcome.no_uplink) outcome.message = "no default route: nothing is masqueraded";
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
    RETURN_IF_ERROR(Converge(*lease, false, stop));
    RETURN_IF_ERROR(ledger_.ConfirmNetworkAbsent(uid));
  }
  RETURN_IF_ERROR(objects_.RemoveFinalizer(object));
  return runtime::Next::Done();
}

// The first route of somebody else that shares an address with the cidr, in words; "" when none
// does. A default route shares all and conflicts with nothing; our bridges' routes are ours.
Result<std::string> NetworkReconciler::OverlappingRoute(const Cidr& cidr) {
  ASSIGN_OR_RETURN(const auto routes, drivers_.routes.ListRoutes());
  const Ipv4Prefix block = PrefixOf(cidr, cidr.base);
  for (const auto& route : routes) {
    const bool ours = IsBridgeIndex(route.index);
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

std::vector<drivers::FirewallNetwork> NetworkReconciler::DesireFirewall(
    const Observed& observed, const std::string& uplink) const {
  std::vector<drivers::FirewallNetwork> rules;
  for (const auto& lease : ledger_.ListAll().networks) {
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

Desired NetworkReconciler::Desire(const ledger::NetworkLease& lease, bool present,
                                  const Observed& observed, const std::string& uplink) const {
  const ledger::NetworkParameters& parameters = lease.parameters;
  Desired desired;
  desired.present = present;
  desired.bridge = lease.bridge;
  desired.alias = parameters.uid;
  desired.mtu = parameters.mtu;
  desired.gateway = PrefixOf(parameters.cidr, parameters.gateway);
  desired.firewall = DesireFirewall(observed, uplink);
  return desired;
}

Result<Observed> NetworkReconciler::Observe(std::uint32_t bridge) {
  const std::uint32_t index = BridgeIndex(bridge);
  Observed observed;
  ASSIGN_OR_RETURN(observed.link, drivers_.links.Observe(index));
  if (observed.link) {
    // The switch of a link that somebody renamed is not looked for under a name that is not ours.
    if (observed.link->name == BridgeName(bridge)) {
      ASSIGN_OR_RETURN(observed.ipv6_disabled, drivers_.sysctls.Ipv6Disabled(observed.link->name));
    }
    ASSIGN_OR_RETURN(observed.addresses, drivers_.routes.ListAddresses(index));
  }
  ASSIGN_OR_RETURN(observed.firewall, drivers_.firewall.Observe());
  return observed;
}

Result<Observed> NetworkReconciler::Converge(const ledger::NetworkLease& lease, bool present,
                                             const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const std::string uplink, UplinkName());
  const std::string& name = lease.parameters.name;
  Desired desired;
  drivers::FirewallRules rules;
  if (!present) bridge_repairs_.Forget(name);
  ASSIGN_OR_RETURN(Observed seen,
                   runtime::Converge<Observed>(
                       [&] { return Observe(lease.bridge); },
                       [&](const Observed& observed) {
                         desired = Desire(lease, present, observed, uplink);
                         rules = drivers::Canonical({desired.firewall, {}});
                         bridge_repairs_.Want(name, BridgeWish(desired));
                         repairs_.Want(kRulesKey, rules);
                         return MakePlan(desired, observed);
                       },
                       [&](const Action& action) { return Execute(name, desired, action); }, stop));
  if (present) bridge_repairs_.Saw(name, BridgeWish(desired));
  repairs_.Saw(kRulesKey, rules);
  return seen;
}

Status NetworkReconciler::Execute(const std::string& name, const Desired& desired,
                                  const Action& action) {
  log::Debug("network action", {{"network", name}, {"action", ToString(action)}});
  RETURN_IF_ERROR(std::visit(Executor{drivers_, desired, BridgeIndex(desired.bridge)}, action));
  if (std::holds_alternative<ReplaceFirewall>(action)) {
    repairs_.Did(kRulesKey, kRulesPart);
  } else if (!std::holds_alternative<RemoveFirewall>(action)) {
    bridge_repairs_.Did(name, kBridgePart);
  }
  return OkStatus();
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
  for (auto& condition : status.conditions) {
    condition.observed_generation = object.metadata.generation;
  }
  if (const auto lease = ledger_.GetNetwork(object.metadata.uid)) {
    const ledger::AddressUse use = ledger_.AddressesOf(object.metadata.uid);
    crd::NetworkHostStatus host;
    host.name = host_name_;
    host.bridges = {BridgeName(lease->bridge)};
    host.ports = static_cast<std::int64_t>(ledger_.InterfacesOfNetwork(object.metadata.uid).size());
    host.addresses = {static_cast<std::int64_t>(use.used), static_cast<std::int64_t>(use.free)};
    host.conditions = status.conditions;
    status.hosts.push_back(std::move(host));
  }
  objects_.Report(object, status);
}

Result<std::string> NetworkReconciler::Explain(const std::string& key) {
  using crd::Json;
  const auto lease = ledger_.GetNetworkByName(key);
  if (!lease) return NotFound(fmt::format("network {} has no lease on this host", key));
  ASSIGN_OR_RETURN(const std::string uplink, UplinkName());
  ASSIGN_OR_RETURN(const Observed observed, Observe(lease->bridge));
  const Desired desired = Desire(*lease, !lease->releasing, observed, uplink);
  Json addresses = Json::array();
  for (const auto& address : observed.addresses) addresses.push_back(ToString(address));
  Json plan = Json::array();
  for (const Action& action : MakePlan(desired, observed)) plan.push_back(ToString(action));
  return crd::DumpJson(
      {{"desired",
        {{"present", desired.present},
         {"bridge", BridgeName(desired.bridge)},
         {"gateway", ToString(desired.gateway)},
         {"mtu", desired.mtu},
         {"firewallNetworks", desired.firewall.size()}}},
       {"observed",
        {{"link", observed.link ? Json(observed.link->name) : Json()},
         {"up", observed.link && observed.link->up},
         {"mac", observed.link ? Json(ToString(observed.link->mac)) : Json()},
         {"addresses", std::move(addresses)},
         {"firewallNetworks", observed.firewall ? observed.firewall->networks.size() : 0}}},
       {"plan", std::move(plan)}});
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
  for (const auto& lease : ledger_.ListAll().networks) {
    if (lost || BridgeIndex(lease.bridge) == event.index) keys.push_back(lease.parameters.name);
  }
  return keys;
}

}  // namespace forkplane::network
