#include "controller/ledger/index.h"

#include <algorithm>

namespace forkplane::ledger {

void NumberSet::Insert(std::uint32_t n) {
  taken_.insert(n);
  while (taken_.contains(lowest_free_)) ++lowest_free_;
}

void NumberSet::Erase(std::uint32_t n) {
  if (taken_.erase(n) > 0 && n < lowest_free_) lowest_free_ = std::max(n, first_);
}

void Index::Apply(const Mutation& mutation) {
  std::visit([this](const auto& row) { Put(row); }, mutation);
}

void Index::Put(const VmRow& row) {
  vms[row.owner.uid] = row;
  vmm_uids.Insert(row.vmm_uid);
}

void Index::Put(const DeleteVm& row) {
  const auto it = vms.find(row.owner_uid);
  if (it == vms.end()) return;
  vmm_uids.Erase(it->second.vmm_uid);
  vms.erase(it);
}

void Index::Put(const InterfaceLease& row) {
  // Number, address, network, bridge and owner of a lease never change while it lives.
  if (!interfaces.contains(row.id)) ++ports[row.bridge];
  interfaces[row.id] = row;
  by_owner[{row.owner.uid, row.ordinal}] = row.id;
  by_number[row.number] = row.id;
  by_address[row.address] = row.id;
  by_network[row.network_uid].insert(row.id);
  minors.try_emplace(IfbOf(row.number), kMinorMin).first->second.Insert(MinorOf(row.number));
  const auto network = addresses.find(row.network_uid);
  if (network != addresses.end()) network->second.Insert(row.address.value);
  next_lease = std::max(next_lease, row.id + 1);
}

void Index::Put(const DeleteInterface& row) {
  const auto it = interfaces.find(row.id);
  if (it == interfaces.end()) return;
  const InterfaceLease lease = it->second;
  interfaces.erase(it);
  by_owner.erase({lease.owner.uid, lease.ordinal});
  by_number.erase(lease.number);
  by_address.erase(lease.address);
  by_network[lease.network_uid].erase(lease.id);
  minors.at(IfbOf(lease.number)).Erase(MinorOf(lease.number));
  if (--ports.at(lease.bridge) == 0) ports.erase(lease.bridge);
  DropAddress(lease.network_uid, lease.address);
}

void Index::DropAddress(const std::string& network_uid, Ipv4 address) {
  const auto network = addresses.find(network_uid);
  if (network != addresses.end()) network->second.Erase(address.value);
}

// A Network's set of taken addresses is built from all leases and rests inside its block, whoever
// made them: an address that rests from a deleted Network rests for the next one too.
void Index::Put(const NetworkLease& row) {
  const auto old = networks.find(row.parameters.uid);
  const bool rebuild = old == networks.end() || old->second.parameters.cidr != row.parameters.cidr;
  std::vector<FurtherBridge> further;
  if (old != networks.end()) further = std::move(old->second.further);
  NetworkLease& lease = networks[row.parameters.uid];
  lease = row;
  lease.further = std::move(further);
  bridge_numbers.Insert(row.bridge);
  by_network.try_emplace(row.parameters.uid);
  if (!rebuild) return;
  NumberSet taken(row.parameters.cidr.base.value + 1);
  const Cidr cidr = row.parameters.cidr;
  for (auto it = by_address.lower_bound(cidr.base);
       it != by_address.end() && it->first <= cidr.broadcast(); ++it) {
    taken.Insert(it->first.value);
  }
  std::uint64_t& resting = resting_count[row.parameters.uid];
  resting = 0;
  for (auto it = rests.lower_bound(cidr.base); it != rests.end() && it->first <= cidr.broadcast();
       ++it) {
    taken.Insert(it->first.value);
    ++resting;
  }
  addresses.insert_or_assign(row.parameters.uid, std::move(taken));
}

void Index::Put(const BridgeRow& row) {
  bridges[row.number] = row;
  bridge_numbers.Insert(row.number);
  const auto network = networks.find(row.network_uid);
  if (network == networks.end()) return;
  std::vector<FurtherBridge>& further = network->second.further;
  const auto known = std::find_if(further.begin(), further.end(),
                                  [&](const FurtherBridge& b) { return b.number == row.number; });
  if (known == further.end()) {
    further.push_back({row.number, row.releasing});
  } else {
    known->releasing = row.releasing;
  }
}

void Index::Put(const DeleteBridge& row) {
  const auto it = bridges.find(row.number);
  if (it == bridges.end()) return;
  const auto network = networks.find(it->second.network_uid);
  if (network != networks.end()) {
    std::erase_if(network->second.further,
                  [&](const FurtherBridge& bridge) { return bridge.number == row.number; });
  }
  bridge_numbers.Erase(row.number);
  bridges.erase(it);
}

void Index::Put(const DeleteNetwork& row) {
  const auto it = networks.find(row.uid);
  if (it != networks.end()) bridge_numbers.Erase(it->second.bridge);
  networks.erase(row.uid);
  addresses.erase(row.uid);
  by_network.erase(row.uid);
  resting_count.erase(row.uid);
}

void Index::Put(const SlotRow& row) {
  Put(DeleteSlot{row.owner_uid});
  slots[row.owner_uid] = row;
  if (row.granted) {
    ++granted[row.pool];
  } else {
    waiting[{row.pool, row.sequence}] = row.owner_uid;
  }
  next_sequence = std::max(next_sequence, row.sequence + 1);
}

void Index::Put(const DeleteSlot& row) {
  const auto it = slots.find(row.owner_uid);
  if (it == slots.end()) return;
  if (it->second.granted) {
    --granted[it->second.pool];
  } else {
    waiting.erase({it->second.pool, it->second.sequence});
  }
  slots.erase(it);
}

void Index::Put(const RestRow& row) {
  Put(DeleteRest{row.resting.address});
  rests[row.resting.address] = row;
  rest_ends.insert({row.resting.until, row.resting.address});
  for (auto& [uid, network] : networks) {
    if (!network.parameters.cidr.Contains(row.resting.address)) continue;
    addresses.at(uid).Insert(row.resting.address.value);
    ++resting_count[uid];
  }
}

void Index::Put(const DeleteRest& row) {
  const auto it = rests.find(row.address);
  if (it == rests.end()) return;
  rest_ends.erase({it->second.resting.until, row.address});
  rests.erase(it);
  for (auto& [uid, network] : networks) {
    if (!network.parameters.cidr.Contains(row.address)) continue;
    --resting_count[uid];
    if (!by_address.contains(row.address)) DropAddress(uid, row.address);
  }
}

const InterfaceLease* Index::FindInterface(const std::string& owner_uid,
                                           std::uint32_t ordinal) const {
  const auto it = by_owner.find({owner_uid, ordinal});
  return it == by_owner.end() ? nullptr : &interfaces.at(it->second);
}

std::vector<const InterfaceLease*> Index::InterfacesOf(const std::string& owner_uid) const {
  std::vector<const InterfaceLease*> found;
  for (auto it = by_owner.lower_bound({owner_uid, 0});
       it != by_owner.end() && it->first.first == owner_uid; ++it) {
    found.push_back(&interfaces.at(it->second));
  }
  return found;
}

const NumberSet* Index::AddressesOfNetwork(const std::string& uid) const {
  const auto it = addresses.find(uid);
  return it == addresses.end() ? nullptr : &it->second;
}

AddressUse Index::UseOf(const NetworkLease& network) const {
  const Cidr& cidr = network.parameters.cidr;
  constexpr std::uint64_t kReserved = 4;  // network, broadcast, gateway, inner
  const std::uint64_t total = (std::uint64_t{1} << (32 - cidr.prefix)) - kReserved;
  AddressUse use;
  use.used = addresses.at(network.parameters.uid).size();
  const auto resting = resting_count.find(network.parameters.uid);
  use.resting = resting == resting_count.end() ? 0 : resting->second;
  use.free = total > use.used ? total - use.used : 0;
  return use;
}

std::uint32_t Index::PoolTotal(const std::string& pool, std::uint32_t slots_default) const {
  const auto it = pools.find(pool);
  return it == pools.end() ? slots_default : it->second;
}

std::uint32_t Index::PoolGranted(const std::string& pool) const {
  const auto it = granted.find(pool);
  return it == granted.end() ? 0 : it->second;
}

std::optional<SlotState> Index::BuildSlot(const std::string& owner_uid) const {
  const auto it = slots.find(owner_uid);
  if (it == slots.end()) return std::nullopt;
  const SlotRow& row = it->second;
  SlotState state{row.pool, row.granted, 0, row.since};
  if (!row.granted) {
    const auto first = waiting.lower_bound({row.pool, 0});
    const auto mine = waiting.find({row.pool, row.sequence});
    state.position = static_cast<std::uint32_t>(std::distance(first, mine)) + 1;
  }
  return state;
}

PoolState Index::BuildPool(const std::string& pool, std::uint32_t slots_default) const {
  PoolState state{pool, PoolTotal(pool, slots_default), PoolGranted(pool), {}, {}};
  for (auto it = waiting.lower_bound({pool, 0}); it != waiting.end() && it->first.first == pool;
       ++it) {
    if (!state.oldest_wait) state.oldest_wait = slots.at(it->second).since;
    state.waiting.push_back(vms.at(it->second).owner);
  }
  return state;
}

std::vector<PoolState> Index::BuildPools(std::uint32_t slots_default) const {
  std::set<std::string> names;
  for (const auto& [pool, total] : pools) names.insert(pool);
  for (const auto& [uid, slot] : slots) names.insert(slot.pool);
  std::vector<PoolState> states;
  states.reserve(names.size());
  for (const auto& pool : names) states.push_back(BuildPool(pool, slots_default));
  return states;
}

Listing Index::BuildListing(std::uint32_t slots_default, const std::string& unreadable) const {
  Listing listing;
  listing.unreadable = unreadable;
  if (const auto it = meta.find(kIdentityKey); it != meta.end()) listing.identity = it->second;
  for (const auto& [uid, network] : networks) listing.networks.push_back(network);
  for (const auto& [uid, row] : vms) listing.vms.push_back(BuildVm(row));
  for (const auto& [address, row] : rests) listing.resting.push_back(row.resting);
  listing.pools = BuildPools(slots_default);
  return listing;
}

VmLease Index::BuildVm(const VmRow& row) const {
  VmLease vm{row.owner,
             row.releasing,
             row.vmm_uid,
             row.cgroup,
             row.directory,
             row.since,
             row.vmm,
             BuildSlot(row.owner.uid),
             {}};
  for (const InterfaceLease* lease : InterfacesOf(row.owner.uid)) vm.interfaces.push_back(*lease);
  return vm;
}

}  // namespace forkplane::ledger
