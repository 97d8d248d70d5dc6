#include "reconcilers/host/reconciler.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "crd/json.h"
#include "reconcilers/host/capacity.h"

namespace forkplane::host {
namespace {

constexpr std::chrono::seconds kAskForUplink{2};

struct Executor {
  const Drivers& on;
  const Desired& want;

  Status operator()(const CreateIfb& a) { return on.links.CreateIfb({a.ifb, want.alias}); }
  Status operator()(const DeleteLink& a) { return on.links.Delete(IfbIndex(a.ifb)); }
  Status operator()(const SetName& a) { return on.links.SetName(IfbIndex(a.ifb), IfbName(a.ifb)); }
  Status operator()(const SetAlias& a) { return on.links.SetAlias(IfbIndex(a.ifb), want.alias); }
  Status operator()(const DisableIpv6& a) { return on.sysctls.DisableIpv6(IfbName(a.ifb)); }
  Status operator()(const SetUp& a) { return on.links.SetUp(IfbIndex(a.ifb), a.up); }
  Status operator()(const DeleteRoot& a) { return on.qdiscs.DeleteRoot(IfbIndex(a.ifb)); }
  Status operator()(const AddHtb& a) {
    return on.qdiscs.AddHtb(IfbIndex(a.ifb), kDefaultClassMinor);
  }
  Status operator()(const AddClass& a) { return on.qdiscs.AddClass(IfbIndex(a.ifb), a.htb); }
  Status operator()(const ChangeClass& a) { return on.qdiscs.ChangeClass(IfbIndex(a.ifb), a.htb); }
  Status operator()(const SetLeaf& a) {
    return on.qdiscs.SetLeaf(IfbIndex(a.ifb), a.minor, a.leaf);
  }
  Status operator()(const PinPrograms&) { return on.identities.Pin(); }
  Status operator()(const AttachClassifier&) { return on.identities.AttachClassifier(want.uplink); }
  Status operator()(const LeaveLink& a) { return on.qdiscs.DeleteRoot(a.index); }
};

// What a kernel that does not know such a thing at all lacks; "": another cause.
std::string_view ModuleOf(const Action& action) {
  if (std::holds_alternative<CreateIfb>(action)) return "ifb (CONFIG_IFB)";
  if (std::holds_alternative<AddHtb>(action)) return "sch_htb (CONFIG_NET_SCH_HTB)";
  const auto* leaf = std::get_if<SetLeaf>(&action);
  if (leaf != nullptr && leaf->leaf.kind == drivers::LeafKind::kFqCodel) {
    return "sch_fq_codel (CONFIG_NET_SCH_FQ_CODEL), or --leaf bfifo";
  }
  return {};
}

}  // namespace

void HostReconciler::NameCause(const Refusal& refusal, Outcome& outcome) {
  const Error& error = refusal.error;
  // How rtnetlink speaks of a kind of link or qdisc that no module offers.
  const bool unknown = error.sys_errno == EOPNOTSUPP || error.sys_errno == ENOENT;
  const std::string_view module = ModuleOf(refusal.action);
  if (!unknown || module.empty()) return;
  outcome.reason = "KernelFeatureMissing";
  outcome.message =
      fmt::format("{}: {}: load module {}; forkplane doctor lists all that is missing",
                  ToString(refusal.action), error.message, module);
}

HostReconciler::HostReconciler(const ledger::Ledger& ledger, Drivers drivers,
                               const runtime::OrphanFactBoard& orphans, Options options)
    : ledger_(ledger),
      drivers_(drivers),
      orphans_(orphans),
      options_(std::move(options)),
      repairs_(options_.registry, "host", {"ifb", "htb", "class", "filter", "pins"}) {}

Result<runtime::Next> HostReconciler::Reconcile(const std::string&, const std::stop_token& stop) {
  const auto object = options_.object ? options_.object() : nullptr;
  ASSIGN_OR_RETURN(const Capacity capacity, UploadCapacity(object.get()));
  const Desired desired = Desire(object.get(), capacity);
  ShapeOn(desired.uplink);
  std::optional<Refusal> refusal;
  repairs_.Want(kKey, desired);
  const auto observed = runtime::Converge<Observed>(
      [&] { return Observe(desired); }, [&](const Observed& is) { return MakePlan(desired, is); },
      [&](const Action& action) {
        Status status = Execute(desired, action);
        refusal.reset();
        if (!status.ok()) refusal = Refusal{action, status.error()};
        return status;
      },
      stop);
  Outcome outcome;
  if (observed.ok()) {
    PublishUplink(capacity, !Blocker(desired, *observed).empty());
    ASSIGN_OR_RETURN(outcome, JudgeUplinks(object.get()));
    if (outcome.reason == kConverged) outcome = JudgeShaping(desired, *observed, capacity);
  } else {
    PublishUplink(capacity, IsShut());  // what may leave by it waits for a pass that has seen it
    outcome = {"Retrying", observed.error().message};
    if (refusal) NameCause(*refusal, outcome);
  }
  Report(capacity, outcome);
  if (!observed.ok()) return observed.error();
  repairs_.Saw(kKey, desired);
  left_behind_ = false;
  // Nobody tells of a route that comes, or of somebody else's qdisc that goes.
  const bool waits = ShapesOnUplink() && outcome.reason != kConverged;
  return waits ? runtime::Next::After(kAskForUplink) : runtime::Next::Done();
}

Desired HostReconciler::Desire(const crd::Host* object, const Capacity& capacity) const {
  Desired desired;
  if (ShapesOnUplink()) {
    desired.domains.clear();
    desired.uplink = capacity.index;
  } else {
    const std::vector<std::uint32_t> leased = ledger_.Domains();
    desired.domains = {leased.begin(), leased.end()};
  }
  desired.alias = object != nullptr ? object->metadata.uid : options_.host_name;
  desired.capacity_bytes_per_second = capacity.bits_per_second / drivers::kBitsPerByte;
  desired.default_bytes_per_second = kDefaultClassBits / drivers::kBitsPerByte;
  desired.leaf = options_.leaf;
  return desired;
}

Result<Observed> HostReconciler::Observe(const Desired& desired) {
  Observed observed;
  ASSIGN_OR_RETURN(observed.pinned, drivers_.identities.ArePinned());
  RETURN_IF_ERROR(ObserveUplink(desired, observed));
  for (std::uint32_t ifb = 0; ifb < options_.domains; ++ifb) {
    DomainObserved domain;
    ASSIGN_OR_RETURN(domain.link, drivers_.links.Observe(IfbIndex(ifb)));
    if (domain.link) {
      // The switch of a link that somebody renamed is not looked for under a name that is not ours.
      if (domain.link->name == IfbName(ifb)) {
        ASSIGN_OR_RETURN(domain.ipv6_disabled, drivers_.sysctls.Ipv6Disabled(domain.link->name));
      }
      if (desired.domains.contains(ifb)) {
        ASSIGN_OR_RETURN(domain.qdiscs, drivers_.qdiscs.ObserveUplink(IfbIndex(ifb)));
      }
    }
    // Most of those there may be are not there.
    if (domain.link || ifb == 0) observed.domains.emplace(ifb, std::move(domain));
  }
  return observed;
}

Status HostReconciler::Execute(const Desired& desired, const Action& action) {
  if (log::Writes(log::Level::kDebug)) {
    log::Debug("host action", {{"action", ToString(action)}});
  }
  RETURN_IF_ERROR(std::visit(Executor{drivers_, desired}, action));
  repairs_.Did(kKey, PartOf(action));
  return OkStatus();
}

void HostReconciler::FillSlots(crd::HostStatus& status) const {
  crd::RestoreSlots slots;
  for (const auto& pool : ledger_.Pools()) {
    slots.in_use += pool.granted;
    slots.total += pool.total;
    slots.waiting += static_cast<std::int64_t>(pool.waiting.size());
  }
  status.restore_slots = slots;
}

// A fresh look at the object: a pass may take long, and the status must carry its generation.
void HostReconciler::Report(const Capacity& capacity, const Outcome& outcome) {
  const auto object = options_.object ? options_.object() : nullptr;
  if (!object || !options_.report) return;
  crd::HostStatus status = options_.known ? options_.known() : crd::HostStatus{};
  status.observed_generation = object->metadata.generation;
  crd::KernelStatus kernel = status.kernel.value_or(crd::KernelStatus{});
  kernel.redirect = drivers::ToString(drivers_.identities.Mode());
  kernel.leaf = options_.leaf == drivers::LeafKind::kFqCodel ? "fq_codel" : "bfifo";
  status.kernel = std::move(kernel);
  FillSlots(status);
  if (capacity.known) {
    status.capacity[kUpload] =
        crd::Quantity::FromDecimal(static_cast<std::int64_t>(capacity.bits_per_second));
  }
  if (options_.compute != nullptr) FillCompute(object->spec, *options_.compute, status);
  auto& conditions = status.conditions;
  const auto health = ledger_.Health();
  const bool converged = outcome.reason == kConverged;
  conditions.push_back(crd::MakeCondition(crd::condition::kNetworkReady, converged, outcome.reason,
                                          outcome.message));
  const bool ready = converged && health.ok();
  conditions.push_back(
      crd::MakeCondition(crd::condition::kReady, ready,
                         ready ? "Ready" : (health.ok() ? "NetworkNotReady" : "LedgerUnreadable"),
                         health.ok() ? outcome.message : health.error().message));
  if (!capacity.known) {
    conditions.push_back(crd::MakeCondition(crd::condition::kCapacityUnknown, true,
                                            "LinkSpeedUnknown",
                                            "no link speed is known; 100G is assumed: set "
                                            "spec.uplinks[0].capacity.upload"));
  }
  const auto orphans = orphans_.Get(options_.host_name);
  if (orphans && !orphans->held.empty()) {
    conditions.push_back(
        crd::MakeCondition(crd::condition::kOrphansHeld, true, "OwnerMissing",
                           fmt::format("held: {}", fmt::join(orphans->held, ", "))));
  }
  if (options_.compute != nullptr) AddScheduling(object->spec, *options_.compute, conditions);
  if (options_.conditions != nullptr) {
    for (const auto& [type, told] : options_.conditions->All()) {
      conditions.push_back(crd::MakeCondition(type, true, told.reason, told.message));
    }
  }
  for (auto& condition : conditions) condition.observed_generation = status.observed_generation;
  options_.report(*object, status);
}

Result<std::string> HostReconciler::Explain(const std::string&) {
  using crd::Json;
  const auto object = options_.object ? options_.object() : nullptr;
  ASSIGN_OR_RETURN(const Capacity capacity, UploadCapacity(object.get()));
  const Desired desired = Desire(object.get(), capacity);
  ASSIGN_OR_RETURN(const Observed observed, Observe(desired));
  Json domains = Json::array();
  for (const auto& [ifb, domain] : observed.domains) {
    Json json = {{"ifb", ifb},
                 {"link", domain.link ? Json(domain.link->name) : Json()},
                 {"up", domain.link && domain.link->up},
                 {"root", domain.qdiscs.root ? Json(domain.qdiscs.root->kind) : Json()},
                 {"classes", domain.qdiscs.classes.size()}};
    domains.push_back(std::move(json));
  }
  Json uplink;  // null: upload is shaped on IFBs
  if (observed.uplink) {
    const auto& qdiscs = observed.uplink->qdiscs;
    uplink = {{"link", capacity.uplink},
              {"root", qdiscs.root ? Json(qdiscs.root->kind) : Json()},
              {"classes", qdiscs.classes.size()},
              {"classifier", observed.uplink->classifier == drivers::ProgramState::kOurs}};
  }
  Json plan = Json::array();
  for (const Action& action : MakePlan(desired, observed)) plan.push_back(ToString(action));
  return crd::DumpJson(
      {{"desired",
        {{"domains", desired.domains.size()},
         {"uplink", capacity.uplink},
         {"capacityBytesPerSecond", desired.capacity_bytes_per_second},
         {"defaultBytesPerSecond", desired.default_bytes_per_second}}},
       {"observed", {{"domains", std::move(domains)}, {"shapedOn", std::move(uplink)}}},
       {"plan", std::move(plan)}});
}

std::vector<std::string> HostReconciler::KeysOf(const ledger::Change& change) const {
  using Kind = ledger::Change::Kind;
  const bool further = change.kind == Kind::kInterface && IfbOf(change.number) != 0;
  if (change.kind != Kind::kSlot && !further) return {};
  return {kKey};
}

std::vector<std::string> HostReconciler::KeysOf(const drivers::LinkEvent& event) const {
  using drivers::LinkEventKind;
  if (event.kind == LinkEventKind::kLost) return {kKey};
  if (event.kind == LinkEventKind::kFirewall || event.kind == LinkEventKind::kUnjudgedRuleGone ||
      event.kind == LinkEventKind::kForwarding || event.kind == LinkEventKind::kSwitch) {
    return {};
  }
  // Of a link that is not ours only a HTB of ours is told.
  if (!IsIfbIndex(event.index) && IsOwnedIndex(event.index)) return {};
  // Classes of interfaces, and the queues below them, are the shaping loop's.
  const std::uint32_t of = event.kind == LinkEventKind::kClass ? event.handle : event.parent;
  const bool of_interface =
      IsHtbHandle(of) && IsInterfaceNumber(MinorOf(of)) && event.kind != LinkEventKind::kFilter;
  if (of_interface) return {};
  return {kKey};
}

}  // namespace forkplane::host
