#include "reconcilers/network/reconciler.h"

#include <algorithm>
#include <cerrno>

#include "controller/base/network_names.h"

namespace forkplane::network {
namespace {

// One may be on its way out.
constexpr std::size_t kNeighboursAsked = 3;

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
                                     std::string host_name, Clock& clock,
                                     metrics::Registry* registry,
                                     const runtime::UplinkFactBoard* uplinks)
    : ledger_(ledger),
      objects_(objects),
      drivers_(drivers),
      host_name_(std::move(host_name)),
      uplinks_(uplinks),
      forwarding_(drivers.forwarding, clock),
      refusals_(drivers.firewall, clock, registry),
      bridge_repairs_(registry, "network", {kBridgePart}),
      repairs_(registry, "network", {kRulesPart, kForwardingPart}) {}

Result<runtime::Next> NetworkReconciler::Reconcile(const std::string& key,
                                                   const std::stop_token& stop) {
  if (key == kRulesKey) {
    RETURN_IF_ERROR(ConvergeRules(stop));
    return runtime::Next::Done();
  }
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
    RETURN_IF_ERROR(JudgeForwarding(object, *lease, changed, outcome));
    Report(object, outcome);
    return runtime::Next::Done();
  }
  const bool conflict = !lease.ok() && status.error().code == Code::kConflict;
  outcome.reason = conflict ? "Conflict" : "Retrying";
  outcome.message = status.error().message;
  // How FirewallDriver and rtnetlink speak of what no module offers.
  const int number = status.error().sys_errno;
  if (number == ENOENT || number == EOPNOTSUPP) outcome.reason = "KernelFeatureMissing";
  if (number == EROFS) {
    outcome.reason = "ForwardingOff";
    outcome.message +=
        ": guests would reach this host and nobody else; mount /proc/sys writable for the daemon";
  }
  if (number == EOPNOTSUPP) {
    outcome.message +=
        ": load module bridge (CONFIG_BRIDGE); forkplane doctor lists all that is missing";
  }
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
    known_rules_.erase(uid);
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

// Frames between ports of one bridge are nobody's business but the bridge's, unless br_netfilter
// shows them to the IP rules.
Result<ForwardingQuestion> NetworkReconciler::AskOf(const ledger::NetworkLease& lease,
                                                    bool outwards) {
  const ledger::NetworkParameters& parameters = lease.parameters;
  ForwardingQuestion question;
  question.bridge = lease.bridge;
  question.source = InnerAddress(parameters.cidr);
  question.many_links = parameters.routed || !lease.further.empty();
  question.outwards = outwards;
  if (parameters.isolation) return question;
  ASSIGN_OR_RETURN(const bool bridged, drivers_.sysctls.BridgedFramesMeetIpRules());
  if (!bridged && !question.many_links) return question;
  for (const ledger::InterfaceLease& guest : ledger_.InterfacesOfNetwork(parameters.uid)) {
    if (question.neighbours.size() == kNeighboursAsked) break;
    question.neighbours.push_back(guest.address);
  }
  return question;
}

// What keeps the guests of a Network that stands from getting out of the host, or to each other.
Status NetworkReconciler::JudgeForwarding(const crd::Network& object,
                                          const ledger::NetworkLease& lease, bool changed,
                                          Outcome& outcome) {
  const ledger::NetworkParameters& parameters = lease.parameters;
  const std::string& named = object.spec.uplink.interface;
  ASSIGN_OR_RETURN(const std::string uplink, UplinkName());
  outcome.no_uplink = object.spec.nat == crd::Nat::kMasquerade && named.empty() && uplink.empty();
  if (outcome.no_uplink) outcome.message = "no default route: guests reach this host alone";
  ASSIGN_OR_RETURN(const ForwardingQuestion question, AskOf(lease, !uplink.empty()));
  outcome.blocked = forwarding_.WhoBlocks(parameters.uid, question, changed);
  ASSIGN_OR_RETURN(outcome.bounded, refusals_.Describe(object.metadata.name, parameters.cidr));
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
  if (!outcome.bounded.empty()) {
    status.conditions.push_back(Make(crd::condition::kConnectionsBounded, ConditionStatus::kTrue,
                                     "GuestOverBound", outcome.bounded));
  }
  for (auto& condition : status.conditions) {
    condition.observed_generation = object.metadata.generation;
  }
  if (const auto lease = ledger_.GetNetwork(object.metadata.uid)) {
    const ledger::AddressUse use = ledger_.AddressesOf(object.metadata.uid);
    status.gateway = ToString(lease->parameters.gateway);
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
  const bool foreign = event.kind == LinkEventKind::kSwitch && !IsOwnedIndex(event.index);
  if (event.kind == LinkEventKind::kFirewall || event.kind == LinkEventKind::kUnjudgedRuleGone ||
      event.kind == LinkEventKind::kForwarding || foreign) {
    return {kRulesKey};
  }
  const bool lost =
      event.kind == LinkEventKind::kLost || event.kind == LinkEventKind::kDefaultRoute;
  // Host routes are the tap loop's but for that of the reserved address.
  const bool route = event.kind == LinkEventKind::kRoute;
  const bool of_tap = event.kind == LinkEventKind::kNeighbour;
  const bool blackhole = event.kind == LinkEventKind::kBlackholeGone;
  if (!lost && !blackhole && (!IsBridgeIndex(event.index) || of_tap)) return {};
  std::vector<std::string> keys;
  if (lost) keys.emplace_back(kRulesKey);
  for (const auto& lease : ledger_.Networks()) {
    const bool its =
        (blackhole && lease.parameters.cidr.base == event.address) ||
        BridgeIndex(lease.bridge) == event.index ||
        std::any_of(lease.further.begin(), lease.further.end(),
                    [&](const auto& bridge) { return BridgeIndex(bridge.number) == event.index; });
    if (route && event.address != InnerAddress(lease.parameters.cidr)) continue;
    if (lost || its) keys.push_back(lease.parameters.name);
  }
  return keys;
}

}  // namespace forkplane::network
