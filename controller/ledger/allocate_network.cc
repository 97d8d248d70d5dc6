// The requests about Networks and their bridges.
#include "controller/ledger/allocate.h"

namespace forkplane::ledger {

Result<Mutations> PlanClaimNetwork(const Index& index, const NetworkParameters& wanted,
                                   const Instant& at) {
  const Cidr& cidr = wanted.cidr;
  if (wanted.uid.empty() || cidr.prefix < 8 || cidr.prefix > 29 || !cidr.Contains(wanted.gateway) ||
      wanted.gateway == cidr.base || wanted.gateway == cidr.broadcast()) {
    return Invalid(fmt::format("network {}: {} with gateway {} cannot be leased", wanted.name,
                               ToString(cidr), ToString(wanted.gateway)));
  }
  for (const auto& [uid, other] : index.networks) {
    if (uid == wanted.uid) continue;
    if (other.parameters.name == wanted.name) {
      return Conflict(fmt::format("network {}: a former network of that name (uid {}) still stands",
                                  wanted.name, uid));
    }
    if (other.parameters.cidr.Overlaps(cidr)) {
      return Conflict(fmt::format("network {}: {} overlaps {} of network {}", wanted.name,
                                  ToString(cidr), ToString(other.parameters.cidr),
                                  other.parameters.name));
    }
  }
  const auto held = index.networks.find(wanted.uid);
  if (held == index.networks.end()) {
    const auto bridge =
        index.bridge_numbers.Lowest(kBridgeMax, [](std::uint32_t) { return false; });
    if (!bridge) return Exhausted("every bridge number of this host is leased");
    return Mutations{NetworkLease{wanted, *bridge, false, at.wall}};
  }
  NetworkLease lease = held->second;
  if (lease.releasing) {
    return Unavailable(fmt::format("network {} is being released", wanted.name));
  }
  if (lease.parameters == wanted) return Mutations{};
  const bool moved = lease.parameters.cidr != cidr || lease.parameters.gateway != wanted.gateway ||
                     lease.parameters.routed != wanted.routed;
  if (moved && !index.by_network.at(wanted.uid).empty()) {
    return Conflict(
        fmt::format("network {}: cidr, gateway and mode do not change while {} interfaces "
                    "use it",
                    wanted.name, index.by_network.at(wanted.uid).size()));
  }
  lease.parameters = wanted;
  return Mutations{std::move(lease)};
}

Result<Mutations> PlanBeginReleaseNetwork(const Index& index, const std::string& uid) {
  const auto it = index.networks.find(uid);
  if (it == index.networks.end() || it->second.releasing) return Mutations{};
  const std::size_t users = index.by_network.at(uid).size();
  if (users > 0) {
    return Conflict(
        fmt::format("network {} is used by {} interfaces", it->second.parameters.name, users));
  }
  NetworkLease lease = it->second;
  lease.releasing = true;
  return Mutations{std::move(lease)};
}

Result<Mutations> PlanConfirmNetworkAbsent(const Index& index, const std::string& uid) {
  const auto it = index.networks.find(uid);
  if (it == index.networks.end()) return Mutations{};
  if (!it->second.releasing || !index.by_network.at(uid).empty()) {
    return Conflict(
        fmt::format("confirm absent: network {} is in use", it->second.parameters.name));
  }
  if (!it->second.further.empty()) {
    return Conflict(
        fmt::format("confirm absent: network {} has further bridges", it->second.parameters.name));
  }
  return Mutations{DeleteNetwork{uid}};
}

Result<Mutations> PlanBeginReleaseBridge(const Index& index, std::uint32_t number) {
  const auto it = index.bridges.find(number);
  if (it == index.bridges.end() || it->second.releasing) return Mutations{};
  const auto ports = index.ports.find(number);
  if (ports != index.ports.end()) {
    return Conflict(fmt::format("bridge {} has {} interfaces", BridgeName(number), ports->second));
  }
  BridgeRow bridge = it->second;
  bridge.releasing = true;
  return Mutations{std::move(bridge)};
}

Result<Mutations> PlanConfirmBridgeAbsent(const Index& index, std::uint32_t number) {
  const auto it = index.bridges.find(number);
  if (it == index.bridges.end()) return Mutations{};
  if (!it->second.releasing) {
    return Conflict(fmt::format("confirm absent: bridge {} is in use", BridgeName(number)));
  }
  return Mutations{DeleteBridge{number}};
}

}  // namespace forkplane::ledger
