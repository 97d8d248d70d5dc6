// Which shaping domains and interfaces a change wakes, and what their keys mean.
#include <charconv>

#include "controller/base/network_names.h"
#include "controller/runtime/limits.h"
#include "reconcilers/shaping/reconciler.h"

namespace forkplane::shaping {
namespace {

constexpr int kHexadecimal = 16;

// All of `text`, or nothing.
std::optional<std::uint32_t> NumberIn(std::string_view text, int base) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value, base);
  if (error != std::errc{} || end != text.end()) return std::nullopt;
  return value;
}

}  // namespace

Result<ShapingReconciler::Scope> ShapingReconciler::ScopeOf(const std::string& key) {
  constexpr int kDecimal = 10;
  const std::size_t colon = std::min(key.find(':'), key.size());
  const auto ifb = NumberIn(std::string_view(key).substr(0, colon), kDecimal);
  if (!ifb || *ifb > kIfbMax) return Invalid(fmt::format("'{}' is no shaping domain", key));
  if (colon == key.size()) return Scope{*ifb};
  const auto minor = NumberIn(std::string_view(key).substr(colon + 1), kHexadecimal);
  if (!minor || *minor < kMinorMin || *minor > kMinorMax) {
    return Invalid(fmt::format("'{}' is no interface of a shaping domain", key));
  }
  return Scope{*ifb, MakeNumber(*ifb, *minor)};
}

// Of an interface while it is active: what is being released, and a class that nobody leased, are
// for their domain.
std::string ShapingReconciler::KeyOfNumber(std::uint32_t number) const {
  const auto lease = ledger_.GetInterfaceByNumber(number);
  const bool active = lease && lease->state == ledger::InterfaceState::kActive;
  if (!active) return std::to_string(IfbOf(number));
  return fmt::format("{}:{:x}", IfbOf(number), MinorOf(number));
}

std::chrono::nanoseconds ShapingReconciler::MergeWindow(const std::string& key) {
  return IsDomain(key) ? runtime::kEventMergeWindow : runtime::kInterfaceMergeWindow;
}

ShapingReconciler::Leases ShapingReconciler::LeasesOf(const Scope& scope) const {
  if (!scope.number) return ledger_.InterfacesOfDomain(scope.ifb);
  auto lease = ledger_.GetInterfaceByNumber(*scope.number);
  if (!lease || lease->state != ledger::InterfaceState::kActive) return {};
  return {*std::move(lease)};
}

std::vector<std::string> ShapingReconciler::AllKeys() const {
  std::vector<std::string> keys;
  for (const std::uint32_t ifb : ledger_.Domains()) keys.push_back(std::to_string(ifb));
  return keys;
}

std::vector<std::string> ShapingReconciler::KeysOf(const ledger::Change& change) const {
  if (change.kind == ledger::Change::Kind::kInterface) {
    // Of a new one the TAP is not there yet: its fact brings the key (KeyOfFact). Two passes for
    // each of a burst would hold up its TAPs.
    const auto lease = ledger_.GetInterface(change.lease);
    const bool active = lease && lease->state == ledger::InterfaceState::kActive;
    const auto fact = facts_.Get(ledger::KeyOf(change.lease));
    if (active && !(fact && fact->ready)) return {};
    return {KeyOfNumber(change.number)};
  }
  if (change.kind == ledger::Change::Kind::kNetwork) return AllKeys();
  return {};
}

std::vector<std::string> ShapingReconciler::KeysOf(const drivers::LinkEvent& event) const {
  if (event.kind == drivers::LinkEventKind::kLost) return AllKeys();
  using drivers::LinkEventKind;
  const bool gone = event.kind == LinkEventKind::kLinkGone;
  const bool qdisc = event.kind == LinkEventKind::kQdisc && event.handle != kClsactHandle;
  if (IsTapIndex(event.index)) {
    // One that goes up or down keeps its TBF.
    if (gone || qdisc) return {KeyOfNumber(NumberOfTap(event.index))};
    return {};
  }
  const bool matters = gone || event.turned || qdisc || event.kind == LinkEventKind::kClass;
  // Of a link that is not ours only a HTB of ours is told: the first domain's, on the uplink.
  const bool uplink = !IsOwnedIndex(event.index);
  if (!matters || (!IsIfbIndex(event.index) && !uplink)) return {};
  // A class, or its leaf. What else happens to an IFB concerns everybody on it.
  const std::uint32_t of = event.kind == LinkEventKind::kClass ? event.handle : event.parent;
  const std::uint32_t ifb = uplink ? 0 : event.index - kIfbIndexBase;
  if (!IsHtbHandle(of)) return {std::to_string(ifb)};
  return {KeyOfNumber(MakeNumber(ifb, MinorOf(of)))};
}

std::vector<std::string> ShapingReconciler::KeysOfVm(const std::string& owner_uid) const {
  std::vector<std::string> keys;
  if (const auto vm = ledger_.GetVm(owner_uid)) {
    for (const auto& lease : vm->interfaces) keys.push_back(KeyOfNumber(lease.number));
  }
  return keys;
}

void ShapingReconciler::Learn(const ledger::Change& change) {
  if (change.kind == ledger::Change::Kind::kNetwork) LearnOfNetwork(change.network_uid);
  if (change.kind != ledger::Change::Kind::kInterface) return;
  const auto lease = ledger_.GetInterface(change.lease);
  if (lease && lease->state == ledger::InterfaceState::kActive) {
    metrics_.Learn(change.lease);
  } else {
    metrics_.Forget(change.lease);
  }
}

void ShapingReconciler::LearnOfVm(const std::string& owner_uid) {
  const auto vm = ledger_.GetVm(owner_uid);
  if (!vm) return;
  for (const auto& lease : vm->interfaces) {
    if (lease.state == ledger::InterfaceState::kActive) metrics_.Learn(lease.id);
  }
}

void ShapingReconciler::LearnOfNetwork(const std::string& network_uid) {
  for (const auto& lease : ledger_.InterfacesOfNetwork(network_uid)) {
    if (lease.state == ledger::InterfaceState::kActive) metrics_.Learn(lease.id);
  }
}

std::vector<std::string> ShapingReconciler::KeyOfFact(const std::string& lease_key) const {
  const auto fact = facts_.Get(lease_key);
  // Of one that is shaped and not ready the kernel's own events tell.
  if (!fact || !fact->ready || fact->shaped) return {};
  // The pass that failed comes again by itself, and later each time.
  if (fact->shaped_reason == kRetrying) return {};
  const auto id = ledger::LeaseIdOf(lease_key);
  const auto lease = id ? ledger_.GetInterface(*id) : std::nullopt;
  if (!lease) return {};
  return {KeyOfNumber(lease->number)};
}

}  // namespace forkplane::shaping
