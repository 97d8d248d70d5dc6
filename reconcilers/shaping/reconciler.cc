#include "reconcilers/shaping/reconciler.h"

#include <charconv>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "reconcilers/shaping/explain.h"

namespace forkplane::shaping {
namespace {

constexpr std::uint64_t kBitsPerByte = 8;

Result<std::uint32_t> IfbOfKey(const std::string& key) {
  std::uint32_t ifb = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), ifb);
  if (error != std::errc{} || end != key.data() + key.size() || ifb > kIfbMax) {
    return Invalid(fmt::format("'{}' is no shaping domain", key));
  }
  return ifb;
}

std::string KeyOfNumber(std::uint32_t number) { return std::to_string(IfbOf(number)); }

struct Executor {
  drivers::QdiscDriver& qdiscs;
  std::uint32_t ifb;  // index

  Status operator()(const DeleteClass& a) { return qdiscs.DeleteClass(ifb, a.minor); }
  Status operator()(const AddClass& a) { return qdiscs.AddClass(ifb, a.htb); }
  Status operator()(const ChangeClass& a) { return qdiscs.ChangeClass(ifb, a.htb); }
  Status operator()(const SetLeaf& a) { return qdiscs.SetLeaf(ifb, a.minor, a.leaf); }
  Status operator()(const ChangeTbf& a) {
    return qdiscs.ChangeTbf(TapIndex(a.number), a.tbf, a.queue);
  }
};

}  // namespace

ShapingReconciler::ShapingReconciler(ledger::Ledger& ledger, const Specs& specs,
                                     drivers::QdiscDriver& qdiscs,
                                     runtime::InterfaceFactBoard& facts, Options options)
    : ledger_(ledger),
      specs_(specs),
      qdiscs_(qdiscs),
      facts_(facts),
      options_(std::move(options)),
      metrics_(options_.registry, options_.clock != nullptr ? *options_.clock : RealClock()),
      repairs_(options_.registry, "shaping", {"class", "tbf"}) {}

Result<runtime::Next> ShapingReconciler::Reconcile(const std::string& key,
                                                   const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const std::uint32_t ifb, IfbOfKey(key));
  const Leases leases = ledger_.InterfacesOfDomain(ifb);
  // A pass is about the TAPs that its first look found. Those the tap loop makes meanwhile have
  // sent an event, which brings this key again: in a burst the pass would not find an end
  // otherwise.
  std::optional<std::map<std::uint32_t, drivers::Tbf>> first;
  MonotonicTime looked;
  const auto observe = [&]() -> Result<Observed> {
    if (options_.looking) options_.looking(key);
    looked = metrics_.Now();
    ASSIGN_OR_RETURN(Observed is, Observe(ifb, leases));
    if (!first) first = is.tbfs;
    std::erase_if(is.tbfs, [&](const auto& tbf) { return !first->contains(tbf.first); });
    return is;
  };
  auto observed = runtime::Converge<Observed>(
      observe,
      [&](const Observed& is) {
        const Desired desired = Desire(leases, is);
        Want(desired);
        return options_.plan(desired, is);
      },
      [&](const Action& action) { return Execute(ifb, action); }, stop);
  if (!observed.ok()) {
    Fail(leases);
    return std::move(observed).error().WithContext(fmt::format("shaping domain {}", key));
  }
  for (const auto& lease : leases) {
    const Wish wish = WishOf(lease, *observed);
    const std::string shortfall = Shortfall(wish, *observed);
    Publish(lease, wish, shortfall, *observed);
    Note(lease, wish, shortfall, looked);
  }
  RETURN_IF_ERROR(ConfirmReleased(leases, *observed));
  return runtime::Next::Done();
}

void ShapingReconciler::Fail(const Leases& leases) {
  for (const auto& lease : leases) {
    facts_.Amend(ledger::KeyOf(lease.id), [](runtime::InterfaceFacts& facts) {
      facts.shaped = false;
      facts.shaped_reason = kRetrying;
    });
    if (lease.state == ledger::InterfaceState::kActive) metrics_.Failed(lease.id);
  }
}

// An unknown wish takes nothing away.
void ShapingReconciler::Want(const Desired& desired) {
  for (const Wish& wish : desired.wishes) {
    if (wish.intent == Intent::kShape) repairs_.Want(wish.number, wish.rates);
    if (wish.intent == Intent::kRelease) repairs_.Forget(wish.number);
  }
}

void ShapingReconciler::Note(const ledger::InterfaceLease& lease, const Wish& wish,
                             const std::string& shortfall, MonotonicTime looked) {
  if (wish.intent == Intent::kRelease) return metrics_.Forget(lease.id);
  metrics_.Saw(lease.id, wish.rates, shortfall, looked);
  if (shortfall.empty()) repairs_.Saw(lease.number, wish.rates);
}

Wish ShapingReconciler::WishOf(const ledger::InterfaceLease& lease,
                               const Observed& observed) const {
  Wish wish{Intent::kRelease, lease.number, {}};
  if (lease.state != ledger::InterfaceState::kActive) return wish;
  wish.intent = Intent::kKeep;
  const auto vm = specs_.Vm(lease.owner.uid);
  const auto network = ledger_.GetNetwork(lease.network_uid);
  if (!vm || !network || lease.ordinal >= vm->spec.interfaces.size()) return wish;
  wish.intent = Intent::kShape;
  const auto spec = specs_.Network(lease.network_name);
  wish.rates =
      RatesOf(lease.number, EffectiveBandwidth(vm->spec.interfaces[lease.ordinal], spec.get()),
              network->parameters.mtu, {observed.capacity_bytes_per_second, options_.leaf});
  return wish;
}

Desired ShapingReconciler::Desire(const Leases& leases, const Observed& observed) const {
  Desired desired;
  for (const auto& lease : leases) {
    Wish wish = WishOf(lease, observed);
    // Without the uplink's capacity nothing can be said about an unlimited direction.
    if (!observed.ready && wish.intent == Intent::kShape) wish.intent = Intent::kKeep;
    desired.wishes.push_back(wish);
  }
  return desired;
}

Result<Observed> ShapingReconciler::Observe(std::uint32_t ifb, const Leases& leases) {
  Observed observed;
  ASSIGN_OR_RETURN(const drivers::DomainQdiscs domain, qdiscs_.ObserveDomain(IfbIndex(ifb)));
  const auto& uplink = domain.uplink;
  const bool ours =
      uplink && uplink->root && uplink->root->kind == "htb" && uplink->root->handle == kHtbHandle;
  if (ours) {
    for (const auto& is : uplink->classes) {
      if (is.htb.minor == kRootClassMinor) {
        observed.ready = true;
        observed.capacity_bytes_per_second = is.htb.ceil_bytes_per_second;
      } else if (is.htb.minor != kDefaultClassMinor) {
        observed.classes[is.htb.minor] = is;
      }
    }
  }
  for (const auto& lease : leases) {
    const auto port = domain.ports.find(TapIndex(lease.number));
    if (lease.state != ledger::InterfaceState::kActive || port == domain.ports.end()) continue;
    const auto& root = port->second.root;
    if (root && root->tbf && root->handle == kTbfHandle) observed.tbfs[lease.number] = *root->tbf;
  }
  return observed;
}

Status ShapingReconciler::Execute(std::uint32_t ifb, const Action& action) {
  log::Debug("shaping action", {{"domain", ifb}, {"action", ToString(action)}});
  RETURN_IF_ERROR(std::visit(Executor{qdiscs_, IfbIndex(ifb)}, action));
  const PartOfInterface of = PartOf(action);
  repairs_.Did(MakeNumber(ifb, of.minor), of.part);
  return OkStatus();
}

void ShapingReconciler::Publish(const ledger::InterfaceLease& lease, const Wish& wish,
                                const std::string& shortfall, const Observed& observed) {
  if (!ledger_.GetInterface(lease.id)) return;  // freed meanwhile; the tap loop retracts the fact
  const auto tbf = observed.tbfs.find(lease.number);
  const auto is = observed.classes.find(MinorOf(lease.number));
  facts_.Amend(ledger::KeyOf(lease.id), [&](runtime::InterfaceFacts& facts) {
    facts.shaped = shortfall.empty();
    facts.shaped_reason = shortfall;
    facts.above_capacity = wish.intent == Intent::kShape && wish.rates.above_capacity;
    const drivers::Tbf down = tbf == observed.tbfs.end() ? drivers::Tbf{} : tbf->second;
    facts.download_rate_bits_per_second = down.rate_bytes_per_second * kBitsPerByte;
    facts.download_burst_bytes = down.burst_bytes;
    const drivers::HtbClass up =
        is == observed.classes.end() ? drivers::HtbClass{} : is->second.htb;
    facts.upload_rate_bits_per_second = up.rate_bytes_per_second * kBitsPerByte;
    facts.upload_ceil_bits_per_second = up.ceil_bytes_per_second * kBitsPerByte;
    facts.upload_burst_bytes = up.burst_bytes;
  });
}

Status ShapingReconciler::ConfirmReleased(const Leases& leases, const Observed& observed) {
  std::vector<ledger::LeaseId> gone;
  for (const auto& lease : leases) {
    const bool releasing = lease.state == ledger::InterfaceState::kReleasing;
    if (releasing && !lease.class_absent && !observed.classes.contains(MinorOf(lease.number))) {
      gone.push_back(lease.id);
    }
  }
  RETURN_IF_ERROR(ledger_.ConfirmAbsent(gone, ledger::Part::kClass));
  for (const auto id : gone) {
    if (!ledger_.GetInterface(id)) facts_.Retract(ledger::KeyOf(id));
  }
  return OkStatus();
}

Result<std::string> ShapingReconciler::Explain(const std::string& key) {
  ASSIGN_OR_RETURN(const std::uint32_t ifb, IfbOfKey(key));
  const Leases leases = ledger_.InterfacesOfDomain(ifb);
  ASSIGN_OR_RETURN(const Observed observed, Observe(ifb, leases));
  return ExplainText(Desire(leases, observed), observed);
}

std::vector<std::string> ShapingReconciler::AllKeys() const {
  std::vector<std::string> keys;
  for (const std::uint32_t ifb : ledger_.Domains()) keys.push_back(std::to_string(ifb));
  return keys;
}

std::vector<std::string> ShapingReconciler::KeysOf(const ledger::Change& change) const {
  if (change.kind == ledger::Change::Kind::kInterface) return {KeyOfNumber(change.number)};
  if (change.kind == ledger::Change::Kind::kNetwork) return AllKeys();
  return {};
}

std::vector<std::string> ShapingReconciler::KeysOf(const drivers::LinkEvent& event) const {
  if (event.kind == drivers::LinkEventKind::kLost) return AllKeys();
  using drivers::LinkEventKind;
  const bool link = event.kind == LinkEventKind::kLinkGone || event.turned;
  const bool qdisc = event.kind == LinkEventKind::kQdisc && event.handle != kClsactHandle;
  const bool matters = link || qdisc || event.kind == LinkEventKind::kClass;
  if (matters && IsIfbIndex(event.index)) return {std::to_string(event.index - kIfbIndexBase)};
  if (matters && IsTapIndex(event.index)) return {KeyOfNumber(NumberOfTap(event.index))};
  return {};
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
  if (!fact || fact->ready == fact->shaped) return {};
  const auto id = ledger::LeaseIdOf(lease_key);
  const auto lease = id ? ledger_.GetInterface(*id) : std::nullopt;
  return lease ? std::vector<std::string>{KeyOfNumber(lease->number)} : std::vector<std::string>{};
}

}  // namespace forkplane::shaping
