#include "reconcilers/tap/reconciler.h"

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "reconcilers/tap/explain.h"

namespace forkplane::tap {
namespace {

// When a pass has made everything without looking, another looks soon: for what others did
// meanwhile.
constexpr std::chrono::seconds kFirstLook{1};

std::optional<ledger::InterfaceLease> LeaseOf(const ledger::Ledger& ledger,
                                              const std::string& key) {
  const auto id = ledger::LeaseIdOf(key);
  return id ? ledger.GetInterface(*id) : std::nullopt;
}

std::string Name(const ledger::InterfaceLease& lease) {
  return fmt::format("tap {} of {}", TapName(lease.number), ToString(lease.owner));
}

// One driver call per action.
struct Executor {
  const Drivers& on;
  const Desired& want;
  const std::optional<drivers::Tbf> bucket;  // of AddTbf
  const std::uint32_t number = want.spec.number;
  const std::uint32_t tap = TapIndex(number);
  const std::uint32_t bridge = want.routed ? 0 : BridgeIndex(want.bridge);
  const std::uint32_t way = RouteLink(want);

  Status operator()(const SetEntry&) { return on.identities.SetEntry(tap, want.entry); }
  Status operator()(const CreateTap&) { return on.taps.Create(want.spec); }
  Status operator()(const ReattachTap& a) { return on.taps.Reattach(want.spec, a.pid); }
  Status operator()(const AdoptTap& a) { return on.taps.Adopt(number, a.pid); }
  Status operator()(const ForgetFile&) { return on.taps.Forget(number); }
  Status operator()(const DeleteTap&) { return on.taps.Delete(number); }
  Status operator()(const DeleteLink&) { return on.links.Delete(tap); }
  Status operator()(const SetName&) { return on.links.SetName(tap, TapName(number)); }
  Status operator()(const SetAlias&) { return on.links.SetAlias(tap, want.spec.alias); }
  Status operator()(const SetMtu&) { return on.links.SetMtu(tap, want.mtu); }
  Status operator()(const DisableIpv6&) { return on.sysctls.DisableIpv6(TapName(number)); }
  Status operator()(const DeleteIngress&) { return on.qdiscs.DeleteClsact(tap); }
  Status operator()(const AddClsact&) { return on.qdiscs.AddClsact(tap); }
  Status operator()(const Attach& a) { return on.identities.Attach(tap, a.direction); }
  Status operator()(const DeleteRoot&) { return on.qdiscs.DeleteRoot(tap); }
  Status operator()(const AddTbf&) { return on.qdiscs.AddTbf(tap, bucket.value_or(want.unshaped)); }
  Status operator()(const SetDown&) { return on.links.SetUp(tap, false); }
  Status operator()(const SetMaster&) { return on.links.SetMaster(tap, bridge); }
  Status operator()(const SetPortUp&) { return on.links.SetPortUp(tap, want.isolated); }
  Status operator()(const SetMac&) {
    return on.links.SetMac(tap, want.routed ? kGatewayMac : drivers::TapMac(number));
  }
  Status operator()(const SwitchOn& a) { return on.sysctls.SwitchOn(TapName(number), a.which); }
  Status operator()(const SetUp&) { return on.links.SetUp(tap, true); }
  Status operator()(const SetPortIsolation&) {
    return on.links.SetPortIsolation(tap, want.isolated);
  }
  Status operator()(const AddHostRoute&) { return on.routes.AddHostRoute(way, want.address); }
  Status operator()(const SetNeighbour&) {
    return on.routes.SetNeighbour(way, {want.address, want.entry.outer_mac});
  }
  Status operator()(const DeleteHostRoute&) { return on.routes.DeleteHostRoute(way, want.address); }
  Status operator()(const DeleteNeighbour&) { return on.routes.DeleteNeighbour(way, want.address); }
  Status operator()(const DeleteEntry&) { return on.identities.DeleteEntry(tap); }
};

}  // namespace

TapReconciler::TapReconciler(ledger::Ledger& ledger, Drivers drivers,
                             runtime::InterfaceFactBoard& facts, const runtime::VmmFactBoard& vmms,
                             Options options)
    : ledger_(ledger),
      drivers_(drivers),
      facts_(facts),
      vmms_(vmms),
      options_(std::move(options)),
      last_unseen_(ledger.LastLease()),
      repairs_(options_.registry, "tap", {"tap", "filter", "tbf", "entry", "route", "neighbour"}),
      deletions_(options_.deletion_threads, [this](const std::string& key, const Status& status) {
        if (!status.ok() && status.error().code != Code::kNotFound) {
          log::Warn("cannot remove a TAP; trying again", {{"lease", key}, {"err", status.error()}});
        }
        if (options_.requeue) options_.requeue(key);
      }) {}

Result<runtime::Next> TapReconciler::Reconcile(const std::string& key,
                                               const std::stop_token& stop) {
  const auto lease = LeaseOf(ledger_, key);
  auto failure = deletions_.TakeFailure(key);
  if (!lease) {
    facts_.Retract(key);
    if (const auto id = ledger::LeaseIdOf(key)) Forget(*id);
    repairs_.Forget(key);
    return runtime::Next::Done();
  }
  if (deletions_.IsPending(key)) return runtime::Next::Done();  // its end queues the key
  if (failure) {
    Publish(key, false, "Retrying");
    return std::move(*failure).WithContext(Name(*lease));
  }
  ASSIGN_OR_RETURN(const Desired desired, Desire(*lease));
  repairs_.Want(key, desired);
  if (IsNewborn(*lease, desired) && RaiseUnseen(*lease, desired)) {
    repairs_.Saw(key, desired);
    Publish(key, true, "");
    return runtime::Next::After(kFirstLook);
  }
  SetUnseen(lease->id, false);
  bool handed_over = false;
  const auto observe = [&] { return Observe(desired, lease->owner.uid); };
  const auto plan = [&](const Observed& observed) { return options_.plan(desired, observed); };
  const auto execute = [&](const Action& action) {
    const bool slow = std::holds_alternative<DeleteTap>(action);
    if (!slow || options_.deletion_threads == 0) return ExecuteUnderLook(*lease, desired, action);
    handed_over = true;
    deletions_.Submit(
        key, [this, lease = *lease, desired, action] { return Execute(lease, desired, action); });
    return Status(Cancelled("handed to the deletion pool"));
  };
  auto observed = runtime::Converge<Observed>(observe, plan, execute, stop);
  if (handed_over) {
    Publish(key, false, desired.present ? "Recreating" : "Releasing");
    return runtime::Next::Done();
  }
  if (!observed.ok()) {
    Publish(key, false, "Retrying");
    return std::move(observed).error().WithContext(Name(*lease));
  }
  return Finish(*lease, desired, *observed);
}

// Leased since this process began and not worked on before: nothing of it can stand, since its
// number was not free before every part of its last holder was seen gone. Asked once per lease.
bool TapReconciler::IsNewborn(const ledger::InterfaceLease& lease, const Desired& desired) {
  if (lease.id <= last_unseen_ || !desired.present) return false;
  {
    const MutexLock lock(mu_);
    if (!begun_.insert(lease.id).second) return false;
  }
  Observed nobody;
  ObserveVmm(lease.owner.uid, nobody);
  return nobody.vmm == Vmm::kNone && !desired.routed;  // routed: nothing would miss the gateway
}

// A fork waits for this, so nothing is asked of the kernel: each creation that succeeds says what a
// look would, and one that fails (a bridge that is not there or not up, a foreign link in our
// place) leaves the rest to a pass that looks. True: it stands.
bool TapReconciler::RaiseUnseen(const ledger::InterfaceLease& lease, const Desired& desired) {
  const DeletionPool::Creation creation(deletions_);
  SetUnseen(lease.id, true);
  Observed nothing;
  nothing.bridge_up = true;
  nothing.vmm = Vmm::kNone;
  for (const Action& action : options_.plan(desired, nothing)) {
    const Status done = Execute(lease, desired, action);
    if (done.ok()) continue;
    log::Debug("tap action failed; looking",
               {{"lease", ledger::KeyOf(lease.id)}, {"err", done.error()}});
    return false;
  }
  if (options_.shape) options_.shape(lease);
  return true;
}

bool TapReconciler::IsUnseen(ledger::LeaseId lease) const {
  const MutexLock lock(mu_);
  return unseen_.contains(lease);
}

void TapReconciler::SetUnseen(ledger::LeaseId lease, bool unseen) {
  const MutexLock lock(mu_);
  if (unseen) {
    unseen_.insert(lease);
  } else {
    unseen_.erase(lease);
  }
}

void TapReconciler::Forget(ledger::LeaseId lease) {
  const MutexLock lock(mu_);
  begun_.erase(lease);
  unseen_.erase(lease);
}

Result<runtime::Next> TapReconciler::Finish(const ledger::InterfaceLease& lease,
                                            const Desired& desired, const Observed& observed) {
  const std::string key = ledger::KeyOf(lease.id);
  const std::string waits = WaitsFor(desired, observed);
  Publish(key, waits.empty(), waits);
  // Without the bridge an empty plan is not all of it.
  if (desired.present && observed.link && observed.bridge_up) repairs_.Saw(key, desired);
  if (desired.present || !IsAbsent(observed) || lease.tap_absent) return runtime::Next::Done();
  if (options_.deletion_threads == 0) {
    RETURN_IF_ERROR(Confirm(lease));
  } else {
    // Walks all of the kernel's table: no create may stand behind that.
    deletions_.Submit(key, [this, lease] { return Confirm(lease); });
  }
  return runtime::Next::Done();
}

Status TapReconciler::Confirm(const ledger::InterfaceLease& lease) {
  ASSIGN_OR_RETURN(const std::size_t flushed, drivers_.flows.FlushAddress(lease.address));
  log::Debug("flows of a released address",
             {{"lease", ledger::KeyOf(lease.id)}, {"flushed", flushed}});
  RETURN_IF_ERROR(ledger_.ConfirmAbsent(lease.id, ledger::Part::kTap));
  if (!ledger_.GetInterface(lease.id)) facts_.Retract(ledger::KeyOf(lease.id));
  return OkStatus();
}

void TapReconciler::Publish(const std::string& key, bool ready, const std::string& reason) {
  facts_.Amend(key, [&](runtime::InterfaceFacts& facts) {
    facts.ready = ready;
    facts.reason = reason;
  });
}

Status TapReconciler::Execute(const ledger::InterfaceLease& lease, const Desired& desired,
                              const Action& action) {
  const std::string key = ledger::KeyOf(lease.id);
  if (log::Writes(log::Level::kDebug)) {
    log::Debug("tap action", {{"lease", key}, {"action", ToString(action)}});
  }
  // What this loop takes away itself it does not put back.
  if (std::holds_alternative<DeleteTap>(action)) repairs_.Forget(key);
  const bool bounds = std::holds_alternative<AddTbf>(action);
  const auto bucket = bounds && options_.bucket ? options_.bucket(lease) : std::nullopt;
  RETURN_IF_ERROR(std::visit(Executor{drivers_, desired, bucket}, action));
  repairs_.Did(key, PartOf(action));
  return OkStatus();
}

// Nobody hears of what this loop does to its own (QuietSocket): that a TBF is new, and nobody has
// seen its rate, the shaping loop learns by the fact.
Status TapReconciler::ExecuteUnderLook(const ledger::InterfaceLease& lease, const Desired& desired,
                                       const Action& action) {
  RETURN_IF_ERROR(Execute(lease, desired, action));
  if (!std::holds_alternative<AddTbf>(action)) return OkStatus();
  facts_.Amend(ledger::KeyOf(lease.id), [](runtime::InterfaceFacts& facts) {
    facts.shaped = false;
    facts.shaped_reason = "Pending";
  });
  return OkStatus();
}

Result<std::string> TapReconciler::Explain(const std::string& key) {
  const auto lease = LeaseOf(ledger_, key);
  if (!lease) return NotFound(fmt::format("interface lease {}", key));
  ASSIGN_OR_RETURN(const Desired desired, Desire(*lease));
  ASSIGN_OR_RETURN(const Observed observed, Observe(desired, lease->owner.uid));
  return ExplainText(*lease, desired, observed);
}

}  // namespace forkplane::tap
