// What the specs ask for, and how much of the uplink each interface is sure of: every pass asks for
// those that it is about.
#include <algorithm>
#include <set>

#include "controller/base/network_names.h"
#include "reconcilers/shaping/reconciler.h"

namespace forkplane::shaping {

ShapingReconciler::Shared ShapingReconciler::SharedOf(const ledger::InterfaceLease& lease) const {
  const auto network = ledger_.GetNetwork(lease.network_uid);
  if (!network) return {};
  return {network->parameters.mtu, specs_.Network(lease.network_name)};
}

std::optional<ShapingReconciler::Asked> ShapingReconciler::AskedFor(
    const ledger::InterfaceLease& lease, const Shared& shared, std::uint64_t capacity) const {
  const auto vm = specs_.Vm(lease.owner.uid);
  if (!vm || !shared.mtu || lease.ordinal >= vm->spec.interfaces.size()) return std::nullopt;
  return Asked{crd::EffectiveBandwidth(vm->spec.interfaces[lease.ordinal], shared.network.get()),
               *shared.mtu,
               {capacity, options_.leaf, specs_.Overcommit()}};
}

ShapingReconciler::AskedAll ShapingReconciler::AskedOf(const Pass& pass,
                                                       const Observed& observed) const {
  AskedAll asked;
  asked.reserve(pass.leases.size());
  std::map<std::string_view, Shared> networks;  // by uid
  for (const auto& lease : pass.leases) {
    const auto [network, is_new] = networks.try_emplace(lease.network_uid);
    if (is_new) network->second = SharedOf(lease);
    asked.push_back(AskedFor(lease, network->second, observed.capacity_bytes_per_second));
  }
  return asked;
}

Status ShapingReconciler::LearnGuarantees(const Scope& scope, const Observed& observed) {
  if (!observed.ready || guarantees_.Knows(scope.ifb)) return OkStatus();
  Observed all;
  ASSIGN_OR_RETURN(const auto classes, qdiscs_.ObserveClasses(IfbIndex(scope.ifb)));
  NoteClasses(classes, all);
  std::vector<Guarantees::Share> held;
  for (const auto& lease : ledger_.InterfacesOfDomain(scope.ifb)) {
    const auto is = all.classes.find(MinorOf(lease.number));
    if (is == all.classes.end()) continue;
    held.push_back({lease.number, lease.id, is->second.htb.rate_bytes_per_second});
  }
  guarantees_.Learn(scope.ifb, held);
  return OkStatus();
}

void ShapingReconciler::AskForGuarantees(const Pass& pass, const AskedAll& asked,
                                         const Observed& observed) {
  if (!observed.ready) return;
  Guarantees::Others others;
  for (std::size_t i = 0; i < pass.leases.size(); ++i) {
    const auto& lease = pass.leases[i];
    const bool asks =
        lease.state == ledger::InterfaceState::kActive && !pass.unborn.contains(lease.id);
    if (!asks || !asked[i]) continue;
    Guarantees::Share share = ShareOf(asked[i]->bandwidth, asked[i]->mtu, asked[i]->surroundings);
    share.number = lease.number;
    share.lease = lease.id;
    const auto roused = guarantees_.Ask(share, observed.capacity_bytes_per_second);
    others.insert(others.end(), roused.begin(), roused.end());
  }
  Wake(&pass, others);
}

void ShapingReconciler::Wake(const Pass* pass, const Guarantees::Others& others) {
  if (!options_.later || others.empty()) return;
  std::set<std::uint32_t> numbers(others.begin(), others.end());
  if (pass != nullptr) {
    for (const auto& lease : pass->leases) numbers.erase(lease.number);
  }
  for (const std::uint32_t number : numbers) {
    options_.later(KeyOfNumber(number), std::chrono::nanoseconds(0));
  }
}

}  // namespace forkplane::shaping
