#include "controller/ledger/allocate.h"

#include <algorithm>

namespace forkplane::ledger {
namespace {

constexpr std::size_t kExpiredPerCommitMax = 256;
constexpr std::string_view kShortage = "insufficient_resources";
constexpr std::uint32_t kOrdinalMax = 255;

bool IsReserved(const NetworkParameters& network, Ipv4 address) {
  return address == network.cidr.base || address == network.cidr.broadcast() ||
         address == network.gateway || address == network.inner();
}

// One claim at work: what it took so far is in `mutations_`, so that two interfaces of one VM do
// not take the same number.
class ClaimPlanner {
 public:
  ClaimPlanner(const Index& index, const VmClaim& claim, const Instant& at, const Limits& limits)
      : index_(index), claim_(claim), at_(at), limits_(limits) {}

  Result<Mutations> Plan() {
    RETURN_IF_ERROR(PlanVm());
    for (const InterfaceClaim& wanted : claim_.interfaces) {
      RETURN_IF_ERROR(PlanInterface(wanted));
    }
    if (claim_.slot_pool) RETURN_IF_ERROR(PlanSlot(*claim_.slot_pool));
    if (!shortages_.empty()) return Shortage();
    return std::move(mutations_);
  }

 private:
  Status PlanVm() {
    if (claim_.owner.uid.empty()) return Invalid("claim: the owner has no uid");
    const auto it = index_.vms.find(claim_.owner.uid);
    if (it != index_.vms.end()) {
      if (it->second.releasing) {
        return Unavailable(
            fmt::format("{}: its former leases are still being released", ToString(claim_.owner)));
      }
      return OkStatus();
    }
    const std::uint32_t last = limits_.uid_first + limits_.uid_count - 1;
    const auto uid = index_.vmm_uids.Lowest(last, [](std::uint32_t) { return false; });
    if (limits_.uid_count == 0 || !uid) {
      AddShortage("vmmUids", fmt::format("all {} VMM uids are leased", limits_.uid_count));
      return OkStatus();
    }
    const std::string& name = claim_.owner.uid;
    mutations_.emplace_back(
        VmRow{claim_.owner, false, *uid, "forkplane/" + name, name, at_.wall, std::nullopt});
    return OkStatus();
  }

  Status PlanInterface(const InterfaceClaim& wanted) {
    if (wanted.ordinal > kOrdinalMax) {
      return Invalid(fmt::format("interface {}: at most {} interfaces", wanted.name, kOrdinalMax));
    }
    // Two rows of one ordinal would fail the commit, and with it whoever shares it.
    if (!ordinals_.insert(wanted.ordinal).second) {
      return Invalid(
          fmt::format("interface {}: ordinal {} is claimed twice", wanted.name, wanted.ordinal));
    }
    const auto network = index_.networks.find(wanted.network_uid);
    if (network == index_.networks.end() || network->second.releasing) {
      return NotFound(fmt::format("interface {}: its network is not on this host", wanted.name));
    }
    const InterfaceLease* held = index_.FindInterface(claim_.owner.uid, wanted.ordinal);
    if (held != nullptr) return CheckHeld(wanted, *held);

    ASSIGN_OR_RETURN(const auto address, PickAddress(wanted, network->second.parameters));
    const auto number = PickNumber();
    if (!number) AddShortage("interfaces", "every interface number of this host is leased");
    const auto bridge = PickBridge(network->second);
    if (!bridge) AddShortage("bridges", "every bridge number of this host is leased");
    if (!number || !address || !bridge) return OkStatus();  // the shortage is noted
    mutations_.emplace_back(
        NewLease(wanted, network->second.parameters, {*number, *address, *bridge}));
    return OkStatus();
  }

  Status CheckHeld(const InterfaceClaim& wanted, const InterfaceLease& held) const {
    const std::string what = fmt::format("interface {} of {}", wanted.name, ToString(held.owner));
    if (held.state != InterfaceState::kActive) {
      return Unavailable(fmt::format("{}: its former lease is still being released", what));
    }
    if (held.network_uid != wanted.network_uid) {
      return Conflict(fmt::format("{} stands on network {}", what, held.network_name));
    }
    if (wanted.address && *wanted.address != held.address) {
      return Conflict(fmt::format("{} holds {}, not {}", what, ToString(held.address),
                                  ToString(*wanted.address)));
    }
    if (wanted.tap != held.tap || wanted.translated != held.translated) {
      return Conflict(fmt::format("{} was leased for another hypervisor or identity", what));
    }
    return OkStatus();
  }

  struct Picked {
    Number number = 0;
    Ipv4 address;
    std::uint32_t bridge = 0;
  };

  InterfaceLease NewLease(const InterfaceClaim& wanted, const NetworkParameters& network,
                          const Picked& picked) {
    InterfaceLease lease;
    lease.id = index_.next_lease + static_cast<LeaseId>(numbers_.size());
    lease.owner = claim_.owner;
    lease.ordinal = wanted.ordinal;
    lease.name = wanted.name;
    lease.network_uid = network.uid;
    lease.network_name = network.name;
    lease.number = picked.number;
    lease.address = picked.address;
    lease.bridge = picked.bridge;
    lease.tap = wanted.tap;
    lease.translated = wanted.translated;
    lease.inner_address = wanted.inner_address.value_or(network.inner());
    lease.inner_mac = wanted.inner_mac.value_or(InnerMac(wanted.ordinal));
    lease.since = at_.wall;
    numbers_.insert(picked.number);
    picked_.insert(picked.address);
    ++ports_[picked.bridge];
    return lease;
  }

  Result<std::optional<Ipv4>> PickAddress(const InterfaceClaim& wanted,
                                          const NetworkParameters& network) {
    if (wanted.address) {
      if (Status fit = CheckStatic(*wanted.address, network); !fit.ok()) {
        Error error = std::move(fit).error();
        error.causes.push_back({.reason = "FieldValueInvalid",
                                .field = fmt::format("interfaces[{}].ip", wanted.ordinal),
                                .message = error.message});
        return error;
      }
      const auto rest = index_.rests.find(*wanted.address);
      picked_.insert(*wanted.address);
      if (rest == index_.rests.end()) return wanted.address;
      AddShortage("addresses",
                  fmt::format("address {} rests after its use by {}", ToString(*wanted.address),
                              ToString(rest->second.resting.last_owner)));
      return std::optional<Ipv4>();
    }
    const NumberSet* taken = index_.AddressesOfNetwork(network.uid);
    CHECK(taken != nullptr);
    const auto found = taken->Lowest(network.cidr.broadcast().value, [&](std::uint32_t n) {
      return IsReserved(network, Ipv4{n}) || picked_.contains(Ipv4{n}) || IsAskedFor(Ipv4{n});
    });
    if (found) return std::optional(Ipv4{*found});
    const AddressUse use = index_.UseOf(index_.networks.at(network.uid));
    AddShortage("addresses", fmt::format("network {} has no free address: {} leased, {} resting",
                                         network.name, use.used - use.resting, use.resting));
    return std::optional<Ipv4>();
  }

  // A dynamic interface never takes the address that a later interface of the same claim names.
  bool IsAskedFor(Ipv4 address) const {
    return std::any_of(claim_.interfaces.begin(), claim_.interfaces.end(),
                       [address](const InterfaceClaim& other) { return other.address == address; });
  }

  Status CheckStatic(Ipv4 address, const NetworkParameters& network) const {
    const std::string text = ToString(address);
    if (!network.cidr.Contains(address)) {
      return Invalid(fmt::format("address {} is outside network {} ({})", text, network.name,
                                 ToString(network.cidr)));
    }
    if (IsReserved(network, address)) {
      return Invalid(fmt::format("address {} is reserved in network {}", text, network.name));
    }
    const auto holder = index_.by_address.find(address);
    if (holder != index_.by_address.end()) {
      const InterfaceLease& lease = index_.interfaces.at(holder->second);
      return Conflict(
          fmt::format("address {} is held by {} ({})", text, ToString(lease.owner), lease.name));
    }
    if (picked_.contains(address)) {
      return Conflict(
          fmt::format("address {} is asked for twice by {}", text, ToString(claim_.owner)));
    }
    return OkStatus();
  }

  // In the first shaping domain with room; where none has, in the emptiest. The lowest minor.
  std::optional<Number> PickNumber() const {
    std::optional<Number> best;
    std::size_t best_load = 0;
    for (std::uint32_t ifb = 0; ifb < limits_.shaping_domains; ++ifb) {
      const auto it = index_.minors.find(ifb);
      const NumberSet empty(kMinorMin);
      const NumberSet& minors = it == index_.minors.end() ? empty : it->second;
      const auto mine = [ifb](Number n) { return IfbOf(n) == ifb; };
      const std::size_t load = minors.size() + static_cast<std::size_t>(std::count_if(
                                                   numbers_.begin(), numbers_.end(), mine));
      if (best && load >= best_load) continue;
      const auto minor = minors.Lowest(
          kMinorMax, [&](std::uint32_t n) { return numbers_.contains(ifb << 16 | n); });
      if (!minor) continue;
      best = ifb << 16 | *minor;
      best_load = load;
      if (load < limits_.classes_per_domain) break;
    }
    return best;
  }

  bool HasRoom(std::uint32_t bridge) const {
    const auto held = index_.ports.find(bridge);
    const auto mine = ports_.find(bridge);
    return (held == index_.ports.end() ? 0 : held->second) +
               (mine == ports_.end() ? 0 : mine->second) <
           limits_.ports_per_bridge;
  }

  // The Network's first bridge with room, else a new one. A routed TAP is no port of any.
  std::optional<std::uint32_t> PickBridge(const NetworkLease& network) {
    if (network.parameters.routed || HasRoom(network.bridge)) return network.bridge;
    for (const FurtherBridge& further : network.further) {
      if (!further.releasing && HasRoom(further.number)) return further.number;
    }
    for (const BridgeRow& begun : new_bridges_) {
      if (begun.network_uid == network.parameters.uid && HasRoom(begun.number)) return begun.number;
    }
    const auto number = index_.bridge_numbers.Lowest(kBridgeMax, [this](std::uint32_t n) {
      return std::any_of(new_bridges_.begin(), new_bridges_.end(),
                         [n](const BridgeRow& begun) { return begun.number == n; });
    });
    if (!number) return std::nullopt;
    new_bridges_.push_back({*number, network.parameters.uid, false, at_.wall});
    mutations_.emplace_back(new_bridges_.back());
    return number;
  }

  Status PlanSlot(const std::string& pool) {
    const auto it = index_.slots.find(claim_.owner.uid);
    if (it != index_.slots.end() && it->second.pool != pool) {
      return Conflict(
          fmt::format("{} already asks for a slot of {}", ToString(claim_.owner), it->second.pool));
    }
    const bool held = it != index_.slots.end() && it->second.granted;
    if (held) return OkStatus();
    const auto first = index_.waiting.lower_bound({pool, 0});
    const bool queue = first != index_.waiting.end() && first->first.first == pool;
    const std::uint32_t total = index_.PoolTotal(pool, limits_.slots_default);
    const bool free = !queue && index_.PoolGranted(pool) < total;
    if (!free && claim_.fail_fast) {
      AddShortage("restoreSlots",
                  fmt::format("all {} restore slots of {} are in use", total, pool));
      return OkStatus();
    }
    if (it != index_.slots.end()) return OkStatus();  // keeps its place
    mutations_.emplace_back(SlotRow{claim_.owner.uid, pool, free, index_.next_sequence, at_.wall});
    return OkStatus();
  }

  void AddShortage(std::string field, std::string message) {
    shortages_.push_back({std::string(kShortage), std::move(field), std::move(message)});
  }

  Error Shortage() {
    std::string text = ToString(claim_.owner) + ": ";
    for (std::size_t i = 0; i < shortages_.size(); ++i) {
      text += (i > 0 ? "; " : "") + shortages_[i].message;
    }
    Error error = Exhausted(std::move(text));
    error.causes = std::move(shortages_);
    return error;
  }

  const Index& index_;
  const VmClaim& claim_;
  const Instant& at_;
  const Limits& limits_;
  Mutations mutations_;
  std::set<std::uint32_t> ordinals_;
  std::set<Number> numbers_;
  std::set<Ipv4> picked_;
  std::map<std::uint32_t, std::uint32_t> ports_;  // taken here, by bridge
  std::vector<BridgeRow> new_bridges_;
  std::vector<Cause> shortages_;
};

InterfaceLease Releasing(InterfaceLease lease, const Instant& at) {
  lease.state = InterfaceState::kReleasing;
  lease.since = at.wall;
  return lease;
}

// Nothing on the host bears the number any more; the address rests.
void AppendFree(const Index& index, const InterfaceLease& lease, const Instant& at,
                Mutations& mutations) {
  mutations.emplace_back(DeleteInterface{lease.id});
  const auto network = index.networks.find(lease.network_uid);
  const auto rest = network == index.networks.end() ? NetworkParameters{}.address_rest
                                                    : network->second.parameters.address_rest;
  if (rest.count() <= 0) return;
  mutations.emplace_back(
      RestRow{{lease.address, lease.network_uid, lease.owner, at.now + rest, rest}});
}

// Grants waiting owners of the pool, first come first, while `room` lasts.
void AppendGrants(const Index& index, const std::string& pool, std::uint32_t room,
                  const std::string& except, const Instant& at, Mutations& mutations) {
  for (auto it = index.waiting.lower_bound({pool, 0});
       room > 0 && it != index.waiting.end() && it->first.first == pool; ++it) {
    if (it->second == except) continue;
    SlotRow row = index.slots.at(it->second);
    row.granted = true;
    row.since = at.wall;
    mutations.emplace_back(std::move(row));
    --room;
  }
}

}  // namespace

Result<Mutations> PlanClaim(const Index& index, const VmClaim& claim, const Instant& at,
                            const Limits& limits) {
  return ClaimPlanner(index, claim, at, limits).Plan();
}

Result<Mutations> PlanRelease(const Index& index, const std::string& owner_uid, const Instant& at,
                              const Limits& limits) {
  const auto it = index.vms.find(owner_uid);
  if (it == index.vms.end()) return Mutations{};
  VmRow vm = it->second;
  if (vm.vmm) {
    return Conflict(fmt::format("release {}: its VMM (pid {}) is still on record",
                                ToString(vm.owner), vm.vmm->pid));
  }
  ASSIGN_OR_RETURN(Mutations mutations, PlanFreeSlot(index, owner_uid, at, limits));
  const auto interfaces = index.InterfacesOf(owner_uid);
  for (const InterfaceLease* lease : interfaces) {
    if (lease->state == InterfaceState::kActive) mutations.emplace_back(Releasing(*lease, at));
  }
  if (interfaces.empty()) {
    mutations.emplace_back(DeleteVm{owner_uid});
  } else if (!vm.releasing) {
    vm.releasing = true;
    mutations.emplace_back(std::move(vm));
  }
  return mutations;
}

Result<Mutations> PlanReleaseInterface(const Index& index, LeaseId lease, const Instant& at) {
  const auto it = index.interfaces.find(lease);
  if (it == index.interfaces.end() || it->second.state == InterfaceState::kReleasing) {
    return Mutations{};
  }
  return Mutations{Releasing(it->second, at)};
}

Result<Mutations> PlanConfirmAbsent(const Index& index, LeaseId lease, Part part,
                                    const Instant& at) {
  return PlanConfirmAbsent(index, std::vector<LeaseId>{lease}, part, at);
}

Result<Mutations> PlanConfirmAbsent(const Index& index, const std::vector<LeaseId>& leases,
                                    Part part, const Instant& at) {
  Mutations mutations;
  std::map<std::string, std::size_t> gone;  // interfaces each owner loses here
  for (const LeaseId id : std::set<LeaseId>(leases.begin(), leases.end())) {
    const auto it = index.interfaces.find(id);
    if (it == index.interfaces.end()) continue;
    InterfaceLease lease = it->second;
    if (lease.state == InterfaceState::kActive) {
      return Conflict(
          fmt::format("confirm absent: lease {} of {} is active", id, ToString(lease.owner)));
    }
    bool& absent = part == Part::kTap ? lease.tap_absent : lease.class_absent;
    if (absent) continue;
    absent = true;
    if (!lease.tap_absent || !lease.class_absent) {
      mutations.emplace_back(std::move(lease));
      continue;
    }
    AppendFree(index, lease, at, mutations);
    const auto vm = index.vms.find(lease.owner.uid);
    const std::size_t left = index.InterfacesOf(lease.owner.uid).size() - ++gone[lease.owner.uid];
    if (left == 0 && vm != index.vms.end() && vm->second.releasing) {
      mutations.emplace_back(DeleteVm{lease.owner.uid});
    }
  }
  return mutations;
}

Result<Mutations> PlanSetVmm(const Index& index, const std::string& owner_uid,
                             const std::optional<VmmRecord>& record) {
  const auto it = index.vms.find(owner_uid);
  if (it == index.vms.end()) {
    if (!record) return Mutations{};
    return NotFound(fmt::format("set vmm: {} holds no lease", owner_uid));
  }
  if (it->second.vmm == record) return Mutations{};
  if (record && it->second.releasing) {
    return Conflict(fmt::format("set vmm: {} is being released", ToString(it->second.owner)));
  }
  VmRow vm = it->second;
  vm.vmm = record;
  return Mutations{std::move(vm)};
}

Result<Mutations> PlanGrantSlots(const Index& index, const std::string& pool, std::uint32_t total,
                                 const Instant& at) {
  if (pool.empty()) return Invalid("grant slots: the pool has no name");
  Mutations mutations;
  const auto it = index.pools.find(pool);
  if (it == index.pools.end() || it->second != total) mutations.emplace_back(PoolRow{pool, total});
  const std::uint32_t granted = index.PoolGranted(pool);
  AppendGrants(index, pool, total > granted ? total - granted : 0, "", at, mutations);
  return mutations;
}

Result<Mutations> PlanFreeSlot(const Index& index, const std::string& owner_uid, const Instant& at,
                               const Limits& limits) {
  const auto it = index.slots.find(owner_uid);
  if (it == index.slots.end()) return Mutations{};
  const std::string& pool = it->second.pool;
  Mutations mutations{DeleteSlot{owner_uid}};
  const std::uint32_t total = index.PoolTotal(pool, limits.slots_default);
  const std::uint32_t granted = index.PoolGranted(pool) - (it->second.granted ? 1 : 0);
  AppendGrants(index, pool, total > granted ? total - granted : 0, owner_uid, at, mutations);
  return mutations;
}

Mutations PlanExpireRests(const Index& index, MonotonicTime now) {
  Mutations mutations;
  for (const auto& [until, address] : index.rest_ends) {
    if (until > now || mutations.size() >= kExpiredPerCommitMax) break;
    mutations.emplace_back(DeleteRest{address});
  }
  return mutations;
}

}  // namespace forkplane::ledger
