#include "tests/unit/ledger/model.h"

#include <algorithm>

namespace forkplane::ledger {
namespace {

std::string Names(const std::set<Code>& codes) {
  std::string text;
  for (const Code code : codes) text += " " + std::string(ToString(code));
  return text.empty() ? " success" : text;
}

bool MayBeLeased(const NetworkParameters& network, Ipv4 address) {
  return network.cidr.Contains(address) && address != network.cidr.base &&
         address != network.cidr.broadcast() && address != network.gateway &&
         address != network.inner();
}

}  // namespace

void Model::Expect(std::string_view call, bool right, const std::string& what) {
  if (!right) wrong.push_back(fmt::format("{}: {}", call, what));
}

bool Model::SameCode(std::string_view call, const std::set<Code>& refusals, const Error* got) {
  if (got == nullptr) {
    Expect(call, refusals.empty(), "succeeded instead of" + Names(refusals));
    return refusals.empty();
  }
  Expect(call, refusals.contains(got->code),
         fmt::format("{} ({}) instead of{}", ToString(got->code), got->message, Names(refusals)));
  return false;
}

void Model::EndRests() {
  std::erase_if(rests_, [&](const auto& rest) { return rest.second.resting.until <= now_; });
}

void Model::OnReboot(MonotonicTime now) {
  for (auto& [address, rest] : rests_) rest.resting.until = now + rest.length;
}

// ---- claims

const InterfaceLease* Model::Find(LeaseId id) const {
  for (const auto& [uid, vm] : vms_) {
    for (const InterfaceLease& lease : vm.interfaces) {
      if (lease.id == id) return &lease;
    }
  }
  return nullptr;
}

InterfaceLease* Model::FindMutable(LeaseId id) {
  for (auto& [uid, vm] : vms_) {
    for (InterfaceLease& lease : vm.interfaces) {
      if (lease.id == id) return &lease;
    }
  }
  return nullptr;
}

const InterfaceLease* Model::Holder(Ipv4 address) const {
  for (const auto& [uid, vm] : vms_) {
    for (const InterfaceLease& lease : vm.interfaces) {
      if (lease.address == address) return &lease;
    }
  }
  return nullptr;
}

// What a dynamic interface of the claim may get, lowest first.
std::vector<Ipv4> Model::FreeAddresses(const VmClaim& claim, const std::string& network_uid) const {
  const NetworkParameters& network = networks_.at(network_uid).parameters;
  std::vector<Ipv4> free;
  for (Ipv4 address = network.cidr.base; address < network.cidr.broadcast(); ++address.value) {
    const bool asked_for =
        std::any_of(claim.interfaces.begin(), claim.interfaces.end(),
                    [&](const InterfaceClaim& wanted) { return wanted.address == address; });
    if (!MayBeLeased(network, address) || asked_for) continue;
    if (Holder(address) == nullptr && !rests_.contains(address)) free.push_back(address);
  }
  return free;
}

void Model::JudgeStatic(const NetworkParameters& network, Ipv4 address, Verdict& verdict) const {
  if (!MayBeLeased(network, address)) verdict.refusals.insert(Code::kInvalid);
  if (Holder(address) != nullptr) verdict.refusals.insert(Code::kConflict);
  if (rests_.contains(address)) verdict.shortages.insert("addresses");
}

void Model::JudgeInterface(const VmClaim& claim, const InterfaceClaim& wanted,
                           Verdict& verdict) const {
  const auto network = networks_.find(wanted.network_uid);
  if (network == networks_.end() || network->second.releasing) {
    verdict.refusals.insert(Code::kNotFound);
    return;
  }
  const auto vm = vms_.find(claim.owner.uid);
  if (vm != vms_.end()) {
    for (const InterfaceLease& held : vm->second.interfaces) {
      if (held.ordinal != wanted.ordinal) continue;
      if (held.state == InterfaceState::kReleasing) verdict.refusals.insert(Code::kUnavailable);
      const bool same = held.network_uid == wanted.network_uid &&
                        wanted.address.value_or(held.address) == held.address &&
                        held.tap == wanted.tap && held.translated == wanted.translated;
      if (!same) verdict.refusals.insert(Code::kConflict);
      return;
    }
  }
  if (wanted.address) return JudgeStatic(network->second.parameters, *wanted.address, verdict);
  std::size_t dynamic = 0;
  for (const InterfaceClaim& other : claim.interfaces) {
    const bool held = vm != vms_.end() &&
                      std::any_of(vm->second.interfaces.begin(), vm->second.interfaces.end(),
                                  [&](const auto& own) { return own.ordinal == other.ordinal; });
    if (other.network_uid == wanted.network_uid && !other.address && !held) ++dynamic;
  }
  if (FreeAddresses(claim, wanted.network_uid).size() < dynamic) {
    verdict.shortages.insert("addresses");
  }
}

Model::Verdict Model::Judge(const VmClaim& claim) const {
  Verdict verdict;
  const auto vm = vms_.find(claim.owner.uid);
  if (vm != vms_.end() && vm->second.releasing) verdict.refusals.insert(Code::kUnavailable);
  if (vm == vms_.end() && vms_.size() >= uid_count_) verdict.shortages.insert("vmmUids");
  std::set<std::uint32_t> ordinals;
  std::set<Ipv4> asked;
  for (const InterfaceClaim& wanted : claim.interfaces) {
    JudgeInterface(claim, wanted, verdict);
    if (!ordinals.insert(wanted.ordinal).second) verdict.refusals.insert(Code::kInvalid);
    if (wanted.address && !asked.insert(*wanted.address).second) {
      verdict.refusals.insert(Code::kConflict);
    }
  }
  if (!claim.slot_pool) return verdict;
  const std::string& pool = *claim.slot_pool;
  for (const Slot& slot : slots_) {
    if (slot.owner_uid != claim.owner.uid) continue;
    if (slot.pool != pool) verdict.refusals.insert(Code::kConflict);
    if (slot.granted) return verdict;
  }
  const bool room = !SomebodyWaits(pool) && GrantedOf(pool) < TotalOf(pool);
  if (claim.fail_fast && !room) verdict.shortages.insert("restoreSlots");
  return verdict;
}

void Model::OnClaim(const VmClaim& claim, const Result<VmLease>& got) {
  EndRests();
  Verdict verdict = Judge(claim);
  const bool short_of = verdict.refusals.empty() && !verdict.shortages.empty();
  if (short_of) verdict.refusals.insert(Code::kExhausted);
  if (SameCode("claim", verdict.refusals, got)) {
    TakeVm(claim, *got);
  } else if (short_of && !got.ok()) {
    std::set<std::string> told;
    for (const Cause& cause : got.error().causes) told.insert(cause.field);
    Expect("claim", told == verdict.shortages, "other shortages were told: " + got.error().message);
  }
}

void Model::TakeVm(const VmClaim& claim, const VmLease& got) {
  const auto [it, is_new] = vms_.try_emplace(claim.owner.uid);
  VmLease& vm = it->second;
  if (is_new) {
    vm = got;
    vm.interfaces.clear();
    vm.slot.reset();
    Expect("claim", got.owner == claim.owner && !got.releasing && !got.vmm, "is not new");
    Expect("claim", got.vmm_uid - uid_first_ < vms_.size(), "a lower VMM uid was free");
    for (const auto& [uid, other] : vms_) {
      Expect("claim", uid == claim.owner.uid || other.vmm_uid != got.vmm_uid,
             fmt::format("VMM uid {} is held by {}", got.vmm_uid, other.owner.name));
    }
  }
  for (const InterfaceClaim& wanted : claim.interfaces) {
    const auto at = std::find_if(got.interfaces.begin(), got.interfaces.end(),
                                 [&](const auto& own) { return own.ordinal == wanted.ordinal; });
    if (at == got.interfaces.end()) {
      Expect("claim", false, fmt::format("interface {} is missing", wanted.ordinal));
      continue;
    }
    TakeInterface(claim, wanted, *at);
  }
  last_lease_ = std::max(last_lease_, [&] {
    LeaseId highest = 0;
    for (const InterfaceLease& lease : got.interfaces) highest = std::max(highest, lease.id);
    return highest;
  }());
  if (claim.slot_pool) TakeSlot(claim);
  CompareVm(got);
}

void Model::TakeInterface(const VmClaim& claim, const InterfaceClaim& wanted,
                          const InterfaceLease& got) {
  VmLease& vm = vms_.at(claim.owner.uid);
  for (const InterfaceLease& held : vm.interfaces) {
    if (held.ordinal == wanted.ordinal) return;  // CompareVm looks at it
  }
  const NetworkParameters& network = networks_.at(wanted.network_uid).parameters;
  const std::vector<Ipv4> free = FreeAddresses(claim, wanted.network_uid);
  const Ipv4 address = wanted.address.value_or(free.empty() ? Ipv4{} : free.front());
  Expect("claim", got.address == address,
         fmt::format("address {} instead of {}", ToString(got.address), ToString(address)));
  Expect("claim", got.id > last_lease_, fmt::format("lease id {} was used before", got.id));
  std::uint32_t in_use = 0;
  for (const auto& [uid, other] : vms_) {
    for (const InterfaceLease& held : other.interfaces) {
      ++in_use;
      Expect("claim", held.number != got.number,
             fmt::format("number {} is held by {}", got.number, other.owner.name));
    }
  }
  Expect("claim", MinorOf(got.number) <= in_use + 1, "a lower number was free");
  InterfaceLease lease;
  lease.id = got.id;
  lease.owner = claim.owner;
  lease.ordinal = wanted.ordinal;
  lease.name = wanted.name;
  lease.network_uid = network.uid;
  lease.network_name = network.name;
  lease.number = got.number;
  lease.bridge = networks_.at(got.network_uid).bridge;  // with room for all
  lease.address = address;
  lease.tap = wanted.tap;
  lease.translated = wanted.translated;
  lease.inner_address = wanted.inner_address.value_or(network.inner());
  lease.inner_mac = wanted.inner_mac.value_or(InnerMac(wanted.ordinal));
  lease.since = got.since;
  vm.interfaces.push_back(lease);
  std::sort(vm.interfaces.begin(), vm.interfaces.end(),
            [](const auto& a, const auto& b) { return a.ordinal < b.ordinal; });
}

// ---- letting go

void Model::OnRelease(const std::string& owner_uid, const Status& got) {
  EndRests();
  const auto vm = vms_.find(owner_uid);
  std::set<Code> refusals;
  if (vm != vms_.end() && vm->second.vmm) refusals.insert(Code::kConflict);
  if (!SameCode("release", refusals, got) || vm == vms_.end()) return;
  vm->second.releasing = true;
  for (InterfaceLease& lease : vm->second.interfaces) lease.state = InterfaceState::kReleasing;
  DropSlot(owner_uid);
  DropIfDone(owner_uid);
}

void Model::OnReleaseInterface(LeaseId lease, const Status& got) {
  EndRests();
  if (!SameCode("release interface", {}, got)) return;
  if (InterfaceLease* held = FindMutable(lease)) held->state = InterfaceState::kReleasing;
}

void Model::OnConfirm(const std::vector<LeaseId>& leases, Part part, const Status& got) {
  EndRests();
  std::set<Code> refusals;
  for (const LeaseId id : leases) {
    const InterfaceLease* lease = Find(id);
    if (lease != nullptr && lease->state == InterfaceState::kActive) {
      refusals.insert(Code::kConflict);
    }
  }
  if (!SameCode("confirm absent", refusals, got)) return;
  for (const LeaseId id : leases) {
    InterfaceLease* lease = FindMutable(id);
    if (lease == nullptr) continue;
    (part == Part::kTap ? lease->tap_absent : lease->class_absent) = true;
    if (!lease->tap_absent || !lease->class_absent) continue;
    const InterfaceLease gone = *lease;
    std::erase_if(vms_.at(gone.owner.uid).interfaces,
                  [id](const InterfaceLease& own) { return own.id == id; });
    const auto length = networks_.at(gone.network_uid).parameters.address_rest;
    if (length.count() > 0) {
      rests_[gone.address] = {{gone.address, gone.network_uid, gone.owner, now_ + length, length},
                              length};
    }
    DropIfDone(gone.owner.uid);
  }
}

void Model::DropIfDone(const std::string& owner_uid) {
  const auto vm = vms_.find(owner_uid);
  if (vm->second.releasing && vm->second.interfaces.empty()) vms_.erase(vm);
}

void Model::OnSetVmm(const std::string& uid, const std::optional<VmmRecord>& vmm,
                     const Status& got) {
  EndRests();
  const auto vm = vms_.find(uid);
  std::set<Code> refusals;
  if (vmm && vm == vms_.end()) refusals.insert(Code::kNotFound);
  if (vmm && vm != vms_.end() && vm->second.releasing) refusals.insert(Code::kConflict);
  if (SameCode("set vmm", refusals, got) && vm != vms_.end()) vm->second.vmm = vmm;
}

}  // namespace forkplane::ledger
