// Which interfaces a change wakes.
#include "controller/base/network_names.h"
#include "reconcilers/tap/reconciler.h"

namespace forkplane::tap {

bool TapReconciler::CanWait(const std::string& key) const {
  const auto id = ledger::LeaseIdOf(key);
  const auto lease = id ? ledger_.GetInterface(*id) : std::nullopt;
  if (!lease || lease->state == ledger::InterfaceState::kReleasing) return true;
  const auto fact = facts_.Get(key);
  return fact && fact->ready;
}

std::vector<std::string> TapReconciler::AllKeys() const {
  std::vector<std::string> keys;
  for (const auto& vm : ledger_.ListAll().vms) {
    for (const auto& lease : vm.interfaces) keys.push_back(ledger::KeyOf(lease.id));
  }
  return keys;
}

std::vector<std::string> TapReconciler::KeysOfVm(const std::string& owner_uid) const {
  std::vector<std::string> keys;
  if (const auto vm = ledger_.GetVm(owner_uid)) {
    for (const auto& lease : vm->interfaces) keys.push_back(ledger::KeyOf(lease.id));
  }
  return keys;
}

std::vector<std::string> TapReconciler::KeysOf(const ledger::Change& change) const {
  if (change.kind == ledger::Change::Kind::kInterface) return {ledger::KeyOf(change.lease)};
  if (change.kind != ledger::Change::Kind::kNetwork) return {};
  std::vector<std::string> keys;
  for (const auto& lease : ledger_.InterfacesOfNetwork(change.network_uid)) {
    keys.push_back(ledger::KeyOf(lease.id));
  }
  return keys;
}

std::vector<std::string> TapReconciler::KeysOf(const drivers::LinkEvent& event) const {
  using drivers::LinkEventKind;
  if (event.kind == LinkEventKind::kLost) return AllKeys();
  if (event.kind == LinkEventKind::kRoute || event.kind == LinkEventKind::kNeighbour) {
    return KeysOfAddress(event);
  }
  if (IsTapIndex(event.index)) {
    const auto lease = ledger_.GetInterfaceByNumber(NumberOfTap(event.index));
    // What its creation does to the link the kernel tells under nobody's name: the look that is due
    // sees that. That it went down, or away, was somebody else.
    const bool own = event.kind == LinkEventKind::kLink && !event.down;
    if (lease && own && IsUnseen(lease->id)) return {};
    // What a port of a bridge has switched off is no matter; all links tell when all are.
    if (lease && event.kind == LinkEventKind::kSwitch) {
      const auto network = ledger_.GetNetwork(lease->network_uid);
      if (!network || !network->parameters.routed) return {};
    }
    return lease ? std::vector<std::string>{ledger::KeyOf(lease->id)} : std::vector<std::string>{};
  }
  // The filter that redirects to an IFB names it, and forgets it when it goes.
  const bool mirred = drivers_.identities.Mode() == drivers::RedirectMode::kMirred;
  if (mirred && event.turned && IsIfbIndex(event.index)) {
    std::vector<std::string> keys;
    for (const auto& lease : ledger_.InterfacesOfDomain(event.index - kIfbIndexBase)) {
      keys.push_back(ledger::KeyOf(lease.id));
    }
    return keys;
  }
  // A bridge takes its ports, routes and neighbours with it without a word about them, when it
  // goes, when it goes down and when it loses its last address. What else happens to it, a port
  // that joins above all, is no news here.
  const bool matters = event.kind == LinkEventKind::kLinkGone ||
                       event.kind == LinkEventKind::kAddressGone || event.turned;
  return matters && IsBridgeIndex(event.index) ? KeysOfBridge(event.index - kBridgeIndexBase)
                                               : std::vector<std::string>{};
}

std::vector<std::string> TapReconciler::KeysOfBridge(std::uint32_t number) const {
  std::vector<std::string> keys;
  for (const auto& vm : ledger_.ListAll().vms) {
    for (const auto& lease : vm.interfaces) {
      if (lease.bridge == number) keys.push_back(ledger::KeyOf(lease.id));
    }
  }
  return keys;
}

// A neighbour that stands as it should is what we wrote ourselves.
std::vector<std::string> TapReconciler::KeysOfAddress(const drivers::LinkEvent& event) const {
  const auto lease = ledger_.GetInterfaceByAddress(event.address);
  if (!lease || event.mac == OuterMacOf(*lease)) return {};
  return {ledger::KeyOf(lease->id)};
}

}  // namespace forkplane::tap
