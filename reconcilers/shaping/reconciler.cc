#include "reconcilers/shaping/reconciler.h"

#include <algorithm>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "reconcilers/shaping/explain.h"

namespace forkplane::shaping {
namespace {

constexpr std::uint64_t kBitsPerByte = 8;

// Of one pass over a domain before it ends for an interface that waits: it gets on all the same.
constexpr int kActionsAtLeast = 32;

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

Result<Observed> ShapingReconciler::Shape(const std::string& key, const Scope& scope,
                                          const Leases& leases, Sight& sight,
                                          const std::stop_token& stop) {
  // A pass is about the TAPs that its first look found: in a burst, in which the tap loop makes
  // more meanwhile, it would not find an end otherwise. Those are for another pass.
  std::optional<std::vector<std::uint32_t>> first;  // their numbers, in order
  const auto observe = [&]() -> Result<Observed> {
    if (options_.looking) options_.looking(key);
    sight.looked = metrics_.Now();
    ASSIGN_OR_RETURN(Observed is, Observe(scope, leases));
    if (!first) {
      first.emplace();
      for (const auto& [number, tbf] : is.tbfs) first->push_back(number);
      return is;
    }
    std::erase_if(is.tbfs, [&](const auto& tbf) {
      const bool newer = !std::binary_search(first->begin(), first->end(), tbf.first);
      if (newer) sight.newer.insert(tbf.first);
      return newer;
    });
    return is;
  };
  return runtime::Converge<Observed>(
      observe,
      [&](const Observed& is) {
        sight.wishes = WishesOf(leases, is);
        const Desired desired = Desire(sight.wishes, is);
        Want(desired);
        return options_.plan(desired, is);
      },
      [&, actions = 0](const Action& action) mutable {
        sight.yields = MustYield(key, actions++);
        return sight.yields ? Status(Cancelled("yields")) : Execute(scope.ifb, action);
      },
      stop);
}

bool ShapingReconciler::MustYield(const std::string& key, int actions) const {
  return actions >= kActionsAtLeast && IsDomain(key) && options_.pressed && options_.pressed();
}

Result<runtime::Next> ShapingReconciler::Reconcile(const std::string& key,
                                                   const std::stop_token& stop) {
  ASSIGN_OR_RETURN(Scope scope, ScopeOf(key));
  Leases leases = LeasesOf(scope);
  // What is released meanwhile is its domain's: all of a burst with one commit.
  if (scope.number && leases.empty()) return runtime::Next::Done();
  const Leases asked = leases;
  Sight sight;
  Result<Observed> observed = Shape(key, scope, leases, sight, stop);
  if (!observed.ok() && scope.number && observed.error().code != Code::kCancelled) {
    // Somebody else's class below ours, for one, shows only among all.
    log::Debug("interface is not shaped; looking at its domain",
               {{"key", key}, {"err", observed.error()}});
    scope.number.reset();
    leases = LeasesOf(scope);
    observed = Shape(std::to_string(scope.ifb), scope, leases, sight, stop);
  }
  if (sight.yields) return runtime::Next::After({});
  if (!observed.ok()) {
    Fail(asked);
    return std::move(observed).error().WithContext(fmt::format("shaping {}", key));
  }
  for (std::size_t i = 0; i < leases.size(); ++i) {
    const Wish& wish = sight.wishes[i];
    const std::string shortfall = Shortfall(wish, *observed);
    Publish(leases[i], wish, shortfall, *observed);
    Note(leases[i], wish, shortfall, sight.looked);
  }
  RETURN_IF_ERROR(ConfirmReleased(leases, *observed));
  // What was merged of them this pass has answered without looking.
  if (options_.requeue) {
    for (const std::uint32_t number : sight.newer) options_.requeue(KeyOfNumber(number));
  }
  return runtime::Next::Done();
}

// The tap loop frees leases meanwhile, and retracts their facts: of one that came after that nobody
// would know, for ever.
void ShapingReconciler::Amend(const ledger::InterfaceLease& lease,
                              const std::function<void(runtime::InterfaceFacts&)>& change) {
  if (!ledger_.GetInterface(lease.id)) return;
  facts_.Amend(ledger::KeyOf(lease.id), change);
  if (!ledger_.GetInterface(lease.id)) facts_.Retract(ledger::KeyOf(lease.id));
}

void ShapingReconciler::Fail(const Leases& leases) {
  for (const auto& lease : leases) {
    Amend(lease, [](runtime::InterfaceFacts& facts) {
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

std::vector<Wish> ShapingReconciler::WishesOf(const Leases& leases,
                                              const Observed& observed) const {
  std::vector<Wish> wishes;
  wishes.reserve(leases.size());
  for (const auto& lease : leases) wishes.push_back(WishOf(lease, observed));
  return wishes;
}

Desired ShapingReconciler::Desire(std::vector<Wish> wishes, const Observed& observed) {
  for (Wish& wish : wishes) {
    // Without the uplink's capacity nothing can be said about an unlimited direction.
    if (!observed.ready && wish.intent == Intent::kShape) wish.intent = Intent::kKeep;
  }
  return {std::move(wishes)};
}

Result<Observed> ShapingReconciler::Observe(const Scope& scope, const Leases& leases) {
  Observed observed;
  ASSIGN_OR_RETURN(const drivers::DomainQdiscs domain,
                   scope.number
                       ? qdiscs_.ObserveInterface(IfbIndex(scope.ifb), MinorOf(*scope.number),
                                                  TapIndex(*scope.number))
                       : qdiscs_.ObserveDomain(IfbIndex(scope.ifb)));
  const auto& uplink = domain.uplink;
  const bool ours =
      uplink && uplink->root && uplink->root->kind == "htb" && uplink->root->handle == kHtbHandle;
  if (ours) {
    for (const auto& is : uplink->classes) {
      if (is.htb.minor == kRootClassMinor) {
        observed.ready = true;
        observed.capacity_bytes_per_second = is.htb.ceil_bytes_per_second;
      } else if (is.htb.minor <= kMinorMax) {
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
  if (log::Writes(log::Level::kDebug)) {
    log::Debug("shaping action", {{"domain", ifb}, {"action", ToString(action)}});
  }
  RETURN_IF_ERROR(std::visit(Executor{qdiscs_, IfbIndex(ifb)}, action));
  const PartOfInterface of = PartOf(action);
  repairs_.Did(MakeNumber(ifb, of.minor), of.part);
  return OkStatus();
}

void ShapingReconciler::Publish(const ledger::InterfaceLease& lease, const Wish& wish,
                                const std::string& shortfall, const Observed& observed) {
  const auto tbf = observed.tbfs.find(lease.number);
  const auto is = observed.classes.find(MinorOf(lease.number));
  Amend(lease, [&](runtime::InterfaceFacts& facts) {
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
  ASSIGN_OR_RETURN(const Scope scope, ScopeOf(key));
  const Leases leases = LeasesOf(scope);
  ASSIGN_OR_RETURN(const Observed observed, Observe(scope, leases));
  return ExplainText(Desire(WishesOf(leases, observed), observed), observed);
}

}  // namespace forkplane::shaping
