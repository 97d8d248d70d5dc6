// The reads: from memory, never from the file.
#include "controller/ledger/sqlite_ledger.h"

namespace forkplane::ledger {

std::optional<VmLease> SqliteLedger::GetVm(const std::string& owner_uid) const {
  MutexLock lock(mu_);
  const auto it = committed_.vms.find(owner_uid);
  if (it == committed_.vms.end()) return std::nullopt;
  return committed_.BuildVm(it->second);
}

std::optional<InterfaceLease> SqliteLedger::GetInterface(LeaseId lease) const {
  MutexLock lock(mu_);
  const auto it = committed_.interfaces.find(lease);
  if (it == committed_.interfaces.end()) return std::nullopt;
  return it->second;
}

std::optional<InterfaceLease> SqliteLedger::GetInterfaceByNumber(Number number) const {
  MutexLock lock(mu_);
  const auto it = committed_.by_number.find(number);
  if (it == committed_.by_number.end()) return std::nullopt;
  return committed_.interfaces.at(it->second);
}

std::optional<InterfaceLease> SqliteLedger::GetInterfaceByAddress(Ipv4 address) const {
  MutexLock lock(mu_);
  const auto it = committed_.by_address.find(address);
  if (it == committed_.by_address.end()) return std::nullopt;
  return committed_.interfaces.at(it->second);
}

std::optional<NetworkLease> SqliteLedger::GetNetwork(const std::string& uid) const {
  MutexLock lock(mu_);
  const auto it = committed_.networks.find(uid);
  if (it == committed_.networks.end()) return std::nullopt;
  return it->second;
}

std::optional<NetworkLease> SqliteLedger::GetNetworkByName(const std::string& name) const {
  MutexLock lock(mu_);
  for (const auto& [uid, lease] : committed_.networks) {
    if (lease.parameters.name == name) return lease;
  }
  return std::nullopt;
}

std::vector<InterfaceLease> SqliteLedger::InterfacesOfDomain(std::uint32_t ifb) const {
  std::vector<InterfaceLease> found;
  MutexLock lock(mu_);
  for (auto it = committed_.by_number.lower_bound(ifb << 16);
       it != committed_.by_number.end() && IfbOf(it->first) == ifb; ++it) {
    found.push_back(committed_.interfaces.at(it->second));
  }
  return found;
}

std::vector<InterfaceLease> SqliteLedger::InterfacesOfNetwork(const std::string& uid) const {
  std::vector<InterfaceLease> found;
  MutexLock lock(mu_);
  const auto it = committed_.by_network.find(uid);
  if (it == committed_.by_network.end()) return found;
  for (const LeaseId id : it->second) found.push_back(committed_.interfaces.at(id));
  return found;
}

std::vector<NetworkLease> SqliteLedger::Networks() const {
  std::vector<NetworkLease> found;
  MutexLock lock(mu_);
  found.reserve(committed_.networks.size());
  for (const auto& [uid, lease] : committed_.networks) found.push_back(lease);
  return found;
}

std::vector<PoolState> SqliteLedger::Pools() const {
  MutexLock lock(mu_);
  return committed_.BuildPools(limits_.slots_default);
}

LeaseId SqliteLedger::LastLease() const {
  MutexLock lock(mu_);
  return committed_.next_lease - 1;
}

std::vector<std::uint32_t> SqliteLedger::Domains() const {
  std::vector<std::uint32_t> domains = {0};
  MutexLock lock(mu_);
  for (const auto& [ifb, minors] : committed_.minors) {
    if (ifb != 0 && minors.size() > 0) domains.push_back(ifb);
  }
  return domains;
}

std::size_t SqliteLedger::PortsOf(std::uint32_t bridge) const {
  MutexLock lock(mu_);
  const auto it = committed_.ports.find(bridge);
  return it == committed_.ports.end() ? 0 : it->second;
}

AddressUse SqliteLedger::AddressesOf(const std::string& network_uid) const {
  MutexLock lock(mu_);
  const auto it = committed_.networks.find(network_uid);
  return it == committed_.networks.end() ? AddressUse{} : committed_.UseOf(it->second);
}

Listing SqliteLedger::ListAll() const {
  MutexLock lock(mu_);
  return committed_.BuildListing(limits_.slots_default, unreadable_);
}

std::string SqliteLedger::MetaValue(const std::string& key) const {
  MutexLock lock(mu_);
  const auto it = committed_.meta.find(key);
  return it == committed_.meta.end() ? std::string() : it->second;
}

std::string SqliteLedger::Identity() const { return MetaValue(kIdentityKey); }
std::string SqliteLedger::StoreIdentity() const { return MetaValue(kStoreIdentityKey); }

}  // namespace forkplane::ledger
