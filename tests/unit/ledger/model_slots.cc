// The model's slots, networks, and its comparison with the whole ledger.
#include <algorithm>

#include "controller/base/network_names.h"
#include "tests/unit/ledger/model.h"

namespace forkplane::ledger {
namespace {

std::string Text(const VmLease& vm) {
  std::string text = fmt::format("{} releasing={} uid={} pid={}", vm.owner.name, vm.releasing,
                                 vm.vmm_uid, vm.vmm ? vm.vmm->pid : 0);
  for (const InterfaceLease& lease : vm.interfaces) {
    text += fmt::format(" [{} lease {} number {} {} {} tap_absent={} class_absent={}]",
                        lease.ordinal, lease.id, lease.number, ToString(lease.address),
                        ToString(lease.state), lease.tap_absent, lease.class_absent);
  }
  if (vm.slot) text += fmt::format(" slot {} {}", vm.slot->pool, vm.slot->position);
  return text;
}

// Since when is for people; the model has no opinion.
VmLease WithoutTimes(VmLease vm) {
  vm.since = {};
  if (vm.slot) vm.slot->since = {};
  for (InterfaceLease& lease : vm.interfaces) lease.since = {};
  return vm;
}

}  // namespace

// ---- slots

Model::Slot* Model::SlotOf(const std::string& owner_uid) {
  const auto it = std::find_if(slots_.begin(), slots_.end(),
                               [&](const Slot& slot) { return slot.owner_uid == owner_uid; });
  return it == slots_.end() ? nullptr : &*it;
}

std::uint32_t Model::TotalOf(const std::string& pool) const {
  const auto it = totals_.find(pool);
  return it == totals_.end() ? slots_default_ : it->second;
}

std::uint32_t Model::GrantedOf(const std::string& pool) const {
  return static_cast<std::uint32_t>(
      std::count_if(slots_.begin(), slots_.end(),
                    [&](const Slot& slot) { return slot.pool == pool && slot.granted; }));
}

bool Model::SomebodyWaits(const std::string& pool) const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [&](const Slot& slot) { return slot.pool == pool && !slot.granted; });
}

std::vector<Owner> Model::Grant(const std::string& pool) {
  std::vector<Owner> granted;
  for (Slot& slot : slots_) {
    if (slot.pool != pool || slot.granted || GrantedOf(pool) >= TotalOf(pool)) continue;
    slot.granted = true;
    granted.push_back(vms_.at(slot.owner_uid).owner);
  }
  return granted;
}

void Model::TakeSlot(const VmClaim& claim) {
  if (SlotOf(claim.owner.uid) != nullptr) return;
  const std::string& pool = *claim.slot_pool;
  const bool room = !SomebodyWaits(pool) && GrantedOf(pool) < TotalOf(pool);
  slots_.push_back({claim.owner.uid, pool, room});
}

void Model::DropSlot(const std::string& owner_uid) {
  const Slot* slot = SlotOf(owner_uid);
  if (slot == nullptr) return;
  const std::string pool = slot->pool;
  std::erase_if(slots_, [&](const Slot& other) { return other.owner_uid == owner_uid; });
  Grant(pool);
}

void Model::OnGrantSlots(const std::string& pool, std::uint32_t total,
                         const Result<std::vector<Owner>>& got) {
  EndRests();
  if (!SameCode("grant slots", {}, got)) return;
  totals_[pool] = total;
  Expect("grant slots", Grant(pool) == *got, "others were granted a slot than those who wait");
}

void Model::OnFreeSlot(const std::string& owner_uid, const Status& got) {
  EndRests();
  if (SameCode("free slot", {}, got)) DropSlot(owner_uid);
}

// ---- networks

void Model::OnClaimNetwork(const NetworkParameters& wanted, const Result<NetworkLease>& got) {
  EndRests();
  std::set<Code> refusals;
  const Cidr& cidr = wanted.cidr;
  if (!cidr.Contains(wanted.gateway) || wanted.gateway == cidr.base ||
      wanted.gateway == cidr.broadcast()) {
    refusals.insert(Code::kInvalid);
  }
  bool used = false;
  for (const auto& [uid, vm] : vms_) {
    for (const auto& lease : vm.interfaces) used = used || lease.network_uid == wanted.uid;
  }
  for (const auto& [uid, other] : networks_) {
    const NetworkParameters& p = other.parameters;
    if (uid == wanted.uid) {
      if (other.releasing) refusals.insert(Code::kUnavailable);
      const bool moves = p.cidr != cidr || p.gateway != wanted.gateway;
      if (moves && used) refusals.insert(Code::kConflict);
    } else if (p.name == wanted.name || p.cidr.Overlaps(cidr)) {
      refusals.insert(Code::kConflict);
    }
  }
  if (!SameCode("claim network", refusals, got)) return;
  const auto held = networks_.find(wanted.uid);
  const bool is_new = held == networks_.end();
  for (const auto& [uid, other] : networks_) {
    Expect("claim network", (uid == wanted.uid) == (other.bridge == got->bridge),
           fmt::format("bridge {} of {} and {}", got->bridge, uid, wanted.uid));
  }
  NetworkLease lease = is_new ? *got : held->second;
  lease.parameters = wanted;
  lease.releasing = false;
  Expect("claim network", lease == *got, "the answer is not what was asked for");
  networks_[wanted.uid] = lease;
}

void Model::OnBeginReleaseNetwork(const std::string& uid, const Status& got) {
  EndRests();
  const auto network = networks_.find(uid);
  std::set<Code> refusals;
  for (const auto& [owner, vm] : vms_) {
    for (const InterfaceLease& lease : vm.interfaces) {
      if (lease.network_uid == uid) refusals.insert(Code::kConflict);
    }
  }
  if (!SameCode("begin release network", refusals, got)) return;
  if (network != networks_.end()) network->second.releasing = true;
}

void Model::OnConfirmNetwork(const std::string& uid, const Status& got) {
  EndRests();
  const auto network = networks_.find(uid);
  std::set<Code> refusals;
  if (network != networks_.end() && !network->second.releasing) refusals.insert(Code::kConflict);
  if (SameCode("confirm network absent", refusals, got)) networks_.erase(uid);
}

// ---- everything

void Model::CompareVm(const VmLease& got) {
  const auto held = vms_.find(got.owner.uid);
  if (held == vms_.end()) return Expect("list", false, got.owner.name + " holds nothing");
  VmLease want = held->second;
  want.slot.reset();
  if (const Slot* slot = SlotOf(got.owner.uid)) {
    std::uint32_t position = 0;
    for (const Slot& other : slots_) {
      if (other.pool == slot->pool && !other.granted) ++position;
      if (&other == slot) break;
    }
    want.slot = SlotState{slot->pool, slot->granted, slot->granted ? 0 : position, {}};
  }
  Expect("vm", WithoutTimes(want) == WithoutTimes(got),
         fmt::format("{} instead of {}", Text(got), Text(want)));
}

void Model::ComparePool(const PoolState& got) {
  std::vector<Owner> waiting;
  for (const Slot& slot : slots_) {
    if (slot.pool == got.pool && !slot.granted) waiting.push_back(vms_.at(slot.owner_uid).owner);
  }
  Expect("pool", got.waiting == waiting, got.pool + ": others wait");
  Expect("pool", got.oldest_wait.has_value() == !waiting.empty(), got.pool + ": the oldest wait");
  Expect("pool", got.total == TotalOf(got.pool) && got.granted == GrantedOf(got.pool),
         fmt::format("{}: {} of {} granted", got.pool, got.granted, got.total));
}

void Model::CompareNetwork(const Ledger& ledger, const NetworkLease& held) {
  const NetworkParameters& network = held.parameters;
  std::uint64_t leased = 0;
  std::uint64_t resting = 0;
  std::vector<InterfaceLease> users;
  for (const auto& [uid, vm] : vms_) {
    for (const InterfaceLease& lease : vm.interfaces) {
      if (network.cidr.Contains(lease.address)) ++leased;
      if (lease.network_uid == network.uid) users.push_back(lease);
    }
  }
  for (const auto& [address, rest] : rests_) {
    if (network.cidr.Contains(address)) ++resting;
  }
  const AddressUse use = ledger.AddressesOf(network.uid);
  const std::uint64_t hosts = (std::uint64_t{1} << (32 - network.cidr.prefix)) - 4;
  Expect("addresses", use.used == leased + resting && use.resting == resting,
         fmt::format("{}: {} used, {} resting instead of {} and {}", network.name, use.used,
                     use.resting, leased + resting, resting));
  Expect("addresses", use.free + use.used == std::max(hosts, use.used),
         fmt::format("{}: {} free", network.name, use.free));
  Expect("network", ledger.InterfacesOfNetwork(network.uid).size() == users.size(),
         network.name + ": other interfaces use it");
  Expect("network", ledger.GetNetwork(network.uid) == held, network.name + " is another");
  Expect("network", ledger.GetNetworkByName(network.name) == held, network.name + " by name");
}

void Model::Compare(const Ledger& ledger) {
  const Listing all = ledger.ListAll();
  Expect("list", all.vms.size() == vms_.size(), fmt::format("{} VMs", all.vms.size()));
  std::map<std::uint32_t, std::size_t> domains;
  for (const VmLease& vm : all.vms) {
    CompareVm(vm);
    for (const InterfaceLease& lease : vm.interfaces) {
      ++domains[IfbOf(lease.number)];
      Expect("number", ledger.GetInterfaceByNumber(lease.number) == lease,
             fmt::format("{} is not found", lease.number));
      Expect("lease", ledger.GetInterface(lease.id) == lease,
             fmt::format("{} is not found", lease.id));
    }
  }
  for (const auto& [ifb, count] : domains) {
    Expect("domain", ledger.InterfacesOfDomain(ifb).size() == count, fmt::format("IFB {}", ifb));
  }
  for (const PoolState& pool : all.pools) ComparePool(pool);
  Expect("list", all.networks.size() == networks_.size(), "other networks");
  for (const auto& [uid, network] : networks_) CompareNetwork(ledger, network);
  // The ledger may keep a rest that is over until its next commit.
  std::map<Ipv4, RestingAddress> resting;
  for (const RestingAddress& rest : all.resting) {
    if (rest.until > now_) resting[rest.address] = rest;
  }
  for (const auto& [address, rest] : rests_) {
    if (rest.resting.until <= now_) continue;
    const auto it = resting.find(address);
    Expect("rest", it != resting.end() && it->second == rest.resting,
           ToString(address) + " does not rest as it should");
    resting.erase(address);
  }
  for (const auto& [address, rest] : resting) Expect("rest", false, ToString(address) + " rests");
}

}  // namespace forkplane::ledger
