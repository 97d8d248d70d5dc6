#include "reconcilers/host/reconciler.h"

#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "crd/json.h"

namespace forkplane::host {
namespace {

constexpr std::uint64_t kBitsPerByte = 8;

struct Executor {
  const Drivers& on;
  const Desired& want;

  Status operator()(const EnableForwarding&) { return on.sysctls.EnableIpv4Forwarding(); }
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
};

crd::Condition Make(std::string_view type, bool holds, std::string reason, std::string message) {
  crd::Condition condition;
  condition.type = type;
  condition.status = holds ? crd::ConditionStatus::kTrue : crd::ConditionStatus::kFalse;
  condition.reason = std::move(reason);
  condition.message = std::move(message);
  return condition;
}

}  // namespace

HostReconciler::HostReconciler(const ledger::Ledger& ledger, Drivers drivers,
                               const runtime::OrphanFactBoard& orphans, Options options)
    : ledger_(ledger),
      drivers_(drivers),
      orphans_(orphans),
      options_(std::move(options)),
      repairs_(options_.registry, "host", {"forwarding", "ifb", "htb", "class"}) {}

Result<runtime::Next> HostReconciler::Reconcile(const std::string&, const std::stop_token& stop) {
  const auto object = options_.object ? options_.object() : nullptr;
  ASSIGN_OR_RETURN(const Capacity capacity, UploadCapacity(object.get()));
  const Desired desired = Desire(object.get(), capacity);
  repairs_.Want(kKey, desired);
  const auto observed = runtime::Converge<Observed>(
      [&] { return Observe(); }, [&](const Observed& is) { return MakePlan(desired, is); },
      [&](const Action& action) { return Execute(desired, action); }, stop);
  const Status outcome = observed.ok() ? OkStatus() : Status(observed.error());
  Report(capacity, outcome);
  if (!outcome.ok()) return outcome.error();
  repairs_.Saw(kKey, desired);
  return runtime::Next::Done();
}

// What the operator says; else what the uplink says; else a number nobody reaches, said aloud.
Result<HostReconciler::Capacity> HostReconciler::UploadCapacity(const crd::Host* object) {
  Capacity capacity;
  std::optional<drivers::Uplink> uplink;
  const crd::HostUplink* named =
      object != nullptr && !object->spec.uplinks.empty() ? &object->spec.uplinks.front() : nullptr;
  if (named != nullptr && !named->interface.empty()) {
    ASSIGN_OR_RETURN(uplink, drivers_.routes.UplinkByName(named->interface));
  } else {
    ASSIGN_OR_RETURN(uplink, drivers_.routes.DefaultUplink());
  }
  if (uplink) capacity.uplink = uplink->name;
  if (named != nullptr && named->capacity && named->capacity->upload) {
    capacity.bits_per_second = static_cast<std::uint64_t>(named->capacity->upload->Value());
  } else if (uplink && uplink->speed_bits_per_second) {
    capacity.bits_per_second = *uplink->speed_bits_per_second;
  } else {
    capacity.bits_per_second = kUnknownCapacityBits;
    capacity.known = false;
  }
  return capacity;
}

Desired HostReconciler::Desire(const crd::Host* object, const Capacity& capacity) const {
  Desired desired;
  desired.domains = options_.domains;
  desired.alias = object != nullptr ? object->metadata.uid : options_.host_name;
  desired.capacity_bytes_per_second = capacity.bits_per_second / kBitsPerByte;
  desired.default_bytes_per_second = kDefaultClassBits / kBitsPerByte;
  desired.leaf = options_.leaf;
  return desired;
}

Result<Observed> HostReconciler::Observe() {
  Observed observed;
  ASSIGN_OR_RETURN(observed.forwarding, drivers_.sysctls.Ipv4Forwarding());
  for (std::uint32_t ifb = 0; ifb < options_.domains; ++ifb) {
    DomainObserved domain;
    ASSIGN_OR_RETURN(domain.link, drivers_.links.Observe(IfbIndex(ifb)));
    if (domain.link) {
      // The switch of a link that somebody renamed is not looked for under a name that is not ours.
      if (domain.link->name == IfbName(ifb)) {
        ASSIGN_OR_RETURN(domain.ipv6_disabled, drivers_.sysctls.Ipv6Disabled(domain.link->name));
      }
      ASSIGN_OR_RETURN(domain.qdiscs, drivers_.qdiscs.ObserveUplink(IfbIndex(ifb)));
    }
    observed.domains.push_back(std::move(domain));
  }
  return observed;
}

Status HostReconciler::Execute(const Desired& desired, const Action& action) {
  log::Debug("host action", {{"action", ToString(action)}});
  RETURN_IF_ERROR(std::visit(Executor{drivers_, desired}, action));
  repairs_.Did(kKey, PartOf(action));
  return OkStatus();
}

void HostReconciler::FillSlots(crd::HostStatus& status) const {
  crd::RestoreSlots slots;
  for (const auto& pool : ledger_.ListAll().pools) {
    slots.in_use += pool.granted;
    slots.total += pool.total;
    slots.waiting += static_cast<std::int64_t>(pool.waiting.size());
  }
  status.restore_slots = slots;
}

// A fresh look at the object: a pass may take long, and the status must carry its generation.
void HostReconciler::Report(const Capacity& capacity, const Status& outcome) {
  const auto object = options_.object ? options_.object() : nullptr;
  if (!object || !options_.report) return;
  crd::HostStatus status = options_.known ? options_.known() : crd::HostStatus{};
  status.observed_generation = object->metadata.generation;
  crd::KernelStatus kernel = status.kernel.value_or(crd::KernelStatus{});
  kernel.redirect = drivers_.identities.Mode() == drivers::RedirectMode::kBpf ? "bpf" : "mirred";
  kernel.leaf = options_.leaf == drivers::LeafKind::kFqCodel ? "fq_codel" : "bfifo";
  status.kernel = std::move(kernel);
  FillSlots(status);
  auto& conditions = status.conditions;
  const auto health = ledger_.Health();
  const std::string trouble = outcome.ok() ? "" : outcome.error().message;
  conditions.push_back(Make(crd::condition::kNetworkReady, outcome.ok(),
                            outcome.ok() ? "Converged" : "Retrying", trouble));
  const bool ready = outcome.ok() && health.ok();
  conditions.push_back(
      Make(crd::condition::kReady, ready,
           ready ? "Ready" : (health.ok() ? "NetworkNotReady" : "LedgerUnreadable"),
           health.ok() ? trouble : health.error().message));
  if (!capacity.known) {
    conditions.push_back(Make(crd::condition::kCapacityUnknown, true, "LinkSpeedUnknown",
                              "no link speed is known; 100G is assumed: set "
                              "spec.uplinks[0].capacity.upload"));
  }
  const auto orphans = orphans_.Get(options_.host_name);
  if (orphans && !orphans->held.empty()) {
    conditions.push_back(Make(crd::condition::kOrphansHeld, true, "OwnerMissing",
                              fmt::format("held: {}", fmt::join(orphans->held, ", "))));
  }
  for (auto& condition : conditions) condition.observed_generation = status.observed_generation;
  options_.report(*object, status);
}

Result<std::string> HostReconciler::Explain(const std::string&) {
  using crd::Json;
  const auto object = options_.object ? options_.object() : nullptr;
  ASSIGN_OR_RETURN(const Capacity capacity, UploadCapacity(object.get()));
  const Desired desired = Desire(object.get(), capacity);
  ASSIGN_OR_RETURN(const Observed observed, Observe());
  Json domains = Json::array();
  for (const auto& domain : observed.domains) {
    Json json = {{"link", domain.link ? Json(domain.link->name) : Json()},
                 {"up", domain.link && domain.link->up},
                 {"root", domain.qdiscs.root ? Json(domain.qdiscs.root->kind) : Json()},
                 {"classes", domain.qdiscs.classes.size()}};
    domains.push_back(std::move(json));
  }
  Json plan = Json::array();
  for (const Action& action : MakePlan(desired, observed)) plan.push_back(ToString(action));
  return crd::DumpJson(
      {{"desired",
        {{"domains", desired.domains},
         {"uplink", capacity.uplink},
         {"capacityBytesPerSecond", desired.capacity_bytes_per_second},
         {"defaultBytesPerSecond", desired.default_bytes_per_second}}},
       {"observed", {{"forwarding", observed.forwarding}, {"domains", std::move(domains)}}},
       {"plan", std::move(plan)}});
}

std::vector<std::string> HostReconciler::KeysOf(const drivers::LinkEvent& event) const {
  using drivers::LinkEventKind;
  const bool of_host =
      event.kind == LinkEventKind::kLost || event.kind == LinkEventKind::kForwardingOff;
  if (!of_host && !IsIfbIndex(event.index)) return {};
  return {kKey};
}

}  // namespace forkplane::host
