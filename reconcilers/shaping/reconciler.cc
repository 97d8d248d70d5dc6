#include "reconcilers/shaping/reconciler.h"

#include <algorithm>
#include <utility>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "reconcilers/shaping/explain.h"

namespace forkplane::shaping {
namespace {

// After its birth an interface is looked at again, with all others of its domain: for what others
// did meanwhile.
constexpr std::chrono::seconds kFirstLook{1};
// Until then the tap loop has begun to answer a release that came before its TAP was made.
constexpr std::chrono::milliseconds kUnbornAgain{50};

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

// What an action that the kernel has acknowledged makes of what was seen before it.
struct Effect {
  Observed& is;

  void operator()(const DeleteClass& a) { is.classes.erase(a.minor); }
  void operator()(const AddClass& a) { is.classes[a.htb.minor].htb = a.htb; }
  void operator()(const ChangeClass& a) { is.classes[a.htb.minor].htb = a.htb; }
  void operator()(const SetLeaf& a) { is.classes[a.minor].leaf = a.leaf; }
  void operator()(const ChangeTbf& a) { is.tbfs[a.number] = a.tbf; }
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
      last_unseen_(ledger.LastLease()),
      metrics_(options_.registry, options_.clock != nullptr ? *options_.clock : RealClock()),
      repairs_(options_.registry, "shaping", {"class", "tbf"}) {}

Result<Observed> ShapingReconciler::Shape(Pass& pass, std::optional<Observed> assumed,
                                          const std::stop_token& stop) {
  return runtime::Converge<Observed>(
      [&]() -> Result<Observed> {
        pass.looked = metrics_.Now();
        if (assumed) return *std::exchange(assumed, std::nullopt);
        return Look(pass);
      },
      [&](const Observed& is) {
        const AskedAll asked = AskedOf(pass, is);
        AskForGuarantees(pass, asked, is);
        pass.shapes = DesiredShapesOf(pass, asked);
        const Desired desired = Desire(pass.shapes, is);
        Want(desired);
        return options_.plan(desired, is);
      },
      [&](const Action& action) { return Execute(pass, action); }, stop);
}

Result<Observed> ShapingReconciler::Look(Pass& pass) {
  if (auto known = std::exchange(pass.known, std::nullopt); known && !pass.scope.number) {
    return LookAgain(pass, *std::move(known));
  }
  if (!pass.newborn) TakeLeases(pass);
  ASSIGN_OR_RETURN(Observed observed, Observe(pass.scope, pass.leases));
  RETURN_IF_ERROR(LearnGuarantees(pass.scope, observed));
  pass.known = observed;
  return observed;
}

Result<Observed> ShapingReconciler::LookAgain(const Pass& pass, Observed known) {
  ASSIGN_OR_RETURN(const auto classes, qdiscs_.ObserveClasses(IfbIndex(pass.scope.ifb)));
  Observed observed;
  NoteClasses(classes, observed);
  for (auto& [minor, is] : observed.classes) {
    const auto before = known.classes.find(minor);
    if (before != known.classes.end()) is.leaf = before->second.leaf;
  }
  observed.tbfs = std::move(known.tbfs);
  return observed;
}

// A fact comes at the end of the first pass that the tap loop makes for a lease. Before it TAP,
// class and leaf may be half made, or made after this loop has looked for them.
bool ShapingReconciler::IsUnborn(const ledger::InterfaceLease& lease) const {
  return lease.id > last_unseen_ && !facts_.Get(ledger::KeyOf(lease.id));
}

// Before the look: what is being released then, and is not unborn, gets no class any more.
void ShapingReconciler::TakeLeases(Pass& pass) const {
  pass.leases = LeasesOf(pass.scope);
  pass.unborn.clear();
  for (const auto& lease : pass.leases) {
    if (IsUnborn(lease)) pass.unborn.insert(lease.id);
  }
}

Result<runtime::Next> ShapingReconciler::Reconcile(const std::string& key,
                                                   const std::stop_token& stop) {
  Pass pass;
  ASSIGN_OR_RETURN(pass.scope, ScopeOf(key));
  TakeLeases(pass);
  // What is released meanwhile is its domain's: all of a burst with one commit. Of what is unborn
  // the fact brings the key.
  if (pass.scope.number && pass.leases.size() == pass.unborn.size()) return runtime::Next::Done();
  Leases asked = pass.leases;
  std::erase_if(asked, [&](const auto& lease) { return pass.unborn.contains(lease.id); });
  Result<Observed> observed = Shape(pass, std::nullopt, stop);
  if (!observed.ok() && pass.scope.number && observed.error().code != Code::kCancelled) {
    // Somebody else's class below ours, for one, shows only among all.
    log::Debug("interface is not shaped; looking at its domain",
               {{"key", key}, {"err", observed.error()}});
    pass.scope.number.reset();
    pass.known.reset();  // of one interface
    observed = Shape(pass, std::nullopt, stop);
  }
  if (!observed.ok()) {
    Fail(asked);
    return std::move(observed).error().WithContext(fmt::format("shaping {}", key));
  }
  Report(pass, *observed);
  ASSIGN_OR_RETURN(const bool all, ConfirmReleased(pass, *observed));
  return all ? runtime::Next::Done() : runtime::Next::After(kUnbornAgain);
}

void ShapingReconciler::Report(const Pass& pass, const Observed& observed) {
  for (std::size_t i = 0; i < pass.leases.size(); ++i) {
    if (pass.unborn.contains(pass.leases[i].id)) continue;
    const DesiredShape& shape = pass.shapes[i];
    const std::string shortfall = Shortfall(shape, observed);
    Publish(pass.leases[i], shape, shortfall, observed);
    Note(pass.leases[i], shape, shortfall, pass.looked);
  }
}

std::optional<drivers::Tbf> ShapingReconciler::BucketOf(const ledger::InterfaceLease& lease) const {
  const auto capacity = CapacityOf(IfbOf(lease.number));
  if (!capacity) return std::nullopt;
  const DesiredShape shape = DesiredShapeOf(lease, AskedFor(lease, SharedOf(lease), *capacity));
  if (shape.intent != Intent::kShape) return std::nullopt;
  return shape.rates.tbf;
}

// What was just made need not be looked for, nor what nobody had before: the plan is that of a
// world in which it is so, and the look after it tells whether it was.
void ShapingReconciler::ShapeNewborn(const ledger::InterfaceLease& lease) {
  const std::uint32_t ifb = IfbOf(lease.number);
  const auto capacity = CapacityOf(ifb);
  const auto bucket = BucketOf(lease);
  if (!capacity || !bucket) return;
  Observed assumed;
  assumed.ready = true;
  assumed.capacity_bytes_per_second = *capacity;
  assumed.tbfs[lease.number] = *bucket;
  Pass pass;
  pass.scope = {ifb, lease.number};
  pass.newborn = true;
  pass.leases = {lease};
  const auto observed = Shape(pass, std::move(assumed), {});
  if (!observed.ok()) {
    log::Debug("interface is not shaped with its TAP; left to the loop",
               {{"lease", ledger::KeyOf(lease.id)}, {"err", observed.error()}});
    return;
  }
  Report(pass, *observed);
  if (options_.later) options_.later(std::to_string(ifb), kFirstLook);
}

std::optional<std::uint64_t> ShapingReconciler::CapacityOf(std::uint32_t ifb) const {
  const MutexLock lock(mu_);
  const auto capacity = capacities_.find(ifb);
  if (capacity == capacities_.end()) return std::nullopt;
  return capacity->second;
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

// An unknown shape takes nothing away.
void ShapingReconciler::Want(const Desired& desired) {
  for (const DesiredShape& shape : desired.shapes) {
    if (shape.intent == Intent::kShape) repairs_.Want(shape.number, shape.rates);
    if (shape.intent == Intent::kRelease) repairs_.Forget(shape.number);
  }
}

void ShapingReconciler::Note(const ledger::InterfaceLease& lease, const DesiredShape& shape,
                             const std::string& shortfall, MonotonicTime looked) {
  if (shape.intent == Intent::kRelease) return metrics_.Forget(lease.id);
  metrics_.Saw(lease.id, shape.rates, shortfall, looked);
  if (shortfall.empty()) repairs_.Saw(lease.number, shape.rates);
}

DesiredShape ShapingReconciler::DesiredShapeOf(const ledger::InterfaceLease& lease,
                                               const std::optional<Asked>& asked) const {
  DesiredShape shape{Intent::kRelease, lease.number, {}};
  if (lease.state != ledger::InterfaceState::kActive) return shape;
  shape.intent = asked ? Intent::kShape : Intent::kKeep;
  if (!asked) return shape;
  shape.rates = RatesOf(lease.number, asked->bandwidth, asked->mtu, asked->surroundings,
                        guarantees_.Granted(lease.number));
  return shape;
}

std::vector<DesiredShape> ShapingReconciler::DesiredShapesOf(const Pass& pass,
                                                             const AskedAll& asked) const {
  std::vector<DesiredShape> shapes;
  shapes.reserve(pass.leases.size());
  for (std::size_t i = 0; i < pass.leases.size(); ++i) {
    const auto& lease = pass.leases[i];
    shapes.push_back(pass.unborn.contains(lease.id) ? DesiredShape{Intent::kKeep, lease.number, {}}
                                                    : DesiredShapeOf(lease, asked[i]));
  }
  return shapes;
}

Desired ShapingReconciler::Desire(std::vector<DesiredShape> shapes, const Observed& observed) {
  for (DesiredShape& shape : shapes) {
    // Without the uplink's capacity nothing can be said about an unlimited direction.
    if (!observed.ready && shape.intent == Intent::kShape) shape.intent = Intent::kKeep;
  }
  return {std::move(shapes)};
}

void ShapingReconciler::NoteClasses(const std::vector<drivers::ObservedClass>& classes,
                                    Observed& observed) {
  for (const auto& is : classes) {
    if (is.htb.minor == kRootClassMinor) {
      observed.ready = true;
      observed.capacity_bytes_per_second = is.htb.ceil_bytes_per_second;
    } else if (is.htb.minor <= kMinorMax) {
      observed.classes[is.htb.minor] = is;
    }
  }
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
  if (ours) NoteClasses(uplink->classes, observed);
  {
    const MutexLock lock(mu_);
    capacities_.erase(scope.ifb);
    if (observed.ready) capacities_[scope.ifb] = observed.capacity_bytes_per_second;
  }
  for (const auto& lease : leases) {
    const auto port = domain.ports.find(TapIndex(lease.number));
    if (lease.state != ledger::InterfaceState::kActive || port == domain.ports.end()) continue;
    const auto& root = port->second.root;
    if (root && root->tbf && root->handle == kTbfHandle) observed.tbfs[lease.number] = *root->tbf;
  }
  return observed;
}

Status ShapingReconciler::Execute(Pass& pass, const Action& action) {
  auto known = std::exchange(pass.known, std::nullopt);
  const std::uint32_t ifb = pass.scope.ifb;
  if (log::Writes(log::Level::kDebug)) {
    log::Debug("shaping action", {{"domain", ifb}, {"action", ToString(action)}});
  }
  const PartOfInterface of = PartOf(action);
  const std::uint32_t number = MakeNumber(ifb, of.minor);
  if (std::holds_alternative<DeleteClass>(action) && IsLeasedSince(pass, number)) {
    return Conflict("leased since the look");
  }
  RETURN_IF_ERROR(std::visit(Executor{qdiscs_, IfbIndex(ifb)}, action));
  repairs_.Did(number, of.part);
  if (known) std::visit(Effect{*known}, action);
  pass.known = std::move(known);
  return OkStatus();
}

// Its class was made with its TAP, after the leases were taken: it only looks like one of nobody.
bool ShapingReconciler::IsLeasedSince(const Pass& pass, std::uint32_t number) const {
  const auto lease = ledger_.GetInterfaceByNumber(number);
  if (!lease || lease->state != ledger::InterfaceState::kActive) return false;
  return std::none_of(pass.leases.begin(), pass.leases.end(),
                      [&](const auto& known) { return known.id == lease->id; });
}

void ShapingReconciler::Publish(const ledger::InterfaceLease& lease, const DesiredShape& shape,
                                const std::string& shortfall, const Observed& observed) {
  const auto tbf = observed.tbfs.find(lease.number);
  const auto is = observed.classes.find(MinorOf(lease.number));
  Amend(lease, [&](runtime::InterfaceFacts& facts) {
    facts.shaped = shortfall.empty();
    facts.shaped_reason = shortfall;
    facts.above_capacity = shape.intent == Intent::kShape && shape.rates.above_capacity;
    facts.short_of_guarantee = shape.intent == Intent::kShape && shape.rates.short_of_guarantee;
    facts.beyond_kernel = shape.intent == Intent::kShape && shape.rates.beyond_kernel;
    const drivers::Tbf down = tbf == observed.tbfs.end() ? drivers::Tbf{} : tbf->second;
    facts.download_rate_bits_per_second = down.rate_bytes_per_second * drivers::kBitsPerByte;
    facts.download_burst_bytes = down.burst_bytes;
    const drivers::HtbClass up =
        is == observed.classes.end() ? drivers::HtbClass{} : is->second.htb;
    facts.upload_rate_bits_per_second = up.rate_bytes_per_second * drivers::kBitsPerByte;
    facts.upload_ceil_bits_per_second = up.ceil_bytes_per_second * drivers::kBitsPerByte;
    facts.upload_burst_bytes = up.burst_bytes;
  });
}

Result<bool> ShapingReconciler::ConfirmReleased(const Pass& pass, const Observed& observed) {
  std::vector<ledger::LeaseId> gone;
  Guarantees::Others others;
  bool all = true;
  for (const auto& lease : pass.leases) {
    const bool releasing = lease.state == ledger::InterfaceState::kReleasing;
    if (!releasing || lease.class_absent) continue;
    if (pass.unborn.contains(lease.id)) {
      all = false;
    } else if (!observed.classes.contains(MinorOf(lease.number))) {
      gone.push_back(lease.id);
      // Before somebody else can lease its number.
      const auto roused = guarantees_.Drop(lease.number, lease.id);
      others.insert(others.end(), roused.begin(), roused.end());
    }
  }
  Wake(nullptr, others);
  RETURN_IF_ERROR(ledger_.ConfirmAbsent(gone, ledger::Part::kClass));
  for (const auto id : gone) {
    if (!ledger_.GetInterface(id)) facts_.Retract(ledger::KeyOf(id));
  }
  return all;
}

Result<std::string> ShapingReconciler::Explain(const std::string& key) {
  ASSIGN_OR_RETURN(const Scope scope, ScopeOf(key));
  Pass pass;
  pass.scope = scope;
  TakeLeases(pass);
  ASSIGN_OR_RETURN(const Observed observed, Observe(scope, pass.leases));
  return ExplainText(Desire(DesiredShapesOf(pass, AskedOf(pass, observed)), observed), observed);
}

}  // namespace forkplane::shaping
