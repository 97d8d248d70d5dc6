#include "reconcilers/orphan/reconciler.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/plan_text.h"
#include "crd/json.h"

namespace forkplane::orphan {
namespace {

constexpr std::chrono::seconds kResync{30};

}  // namespace

OrphanReconciler::OrphanReconciler(Deps deps)
    : deps_(std::move(deps)),
      held_(deps_.registry.AddGauge("forkplane_orphans_held",
                                    "VMs of this host whose object is gone; kept running.")) {}

Observed OrphanReconciler::Observe() {
  Observed observed;
  observed.synced = deps_.vms.HasSynced();
  for (const ledger::VmLease& vm : deps_.ledger.ListAll().vms) {
    observed.leases.push_back({vm.owner.uid, ToString(vm.owner), vm.releasing});
    // Also true for an object that cannot be decoded: unreadable is not gone.
    if (deps_.vms.KnowsUid(vm.owner.uid)) observed.known.insert(vm.owner.uid);
  }
  observed.held = deps_.facts.Get(deps_.host_name).value_or(runtime::OrphanFacts{}).held;
  MutexLock lock(mu_);
  observed.recorded = recorded_;
  return observed;
}

void OrphanReconciler::WriteEvent(const RecordEvent& event) {
  const std::shared_ptr<const crd::Host> host = deps_.hosts.Get(deps_.host_name);
  const runtime::ObjectReference about{std::string(crd::kApiVersion), std::string(crd::Host::kKind),
                                       "", deps_.host_name, host ? host->metadata.uid : ""};
  deps_.events.Record(about, runtime::EventType::kWarning, "OrphanHeld",
                      fmt::format("VirtualMachine {} is gone from the store but runs here: it is "
                                  "kept; apply it again with its uid or end it by hand",
                                  event.name));
}

void OrphanReconciler::Do(const Action& action) {
  if (const auto* event = std::get_if<RecordEvent>(&action)) {
    WriteEvent(*event);
    MutexLock lock(mu_);
    recorded_.insert(event->uid);
  } else if (const auto* forget = std::get_if<ForgetEvent>(&action)) {
    MutexLock lock(mu_);
    recorded_.erase(forget->uid);
  } else if (const auto* publish = std::get_if<PublishHeld>(&action)) {
    held_.Set(static_cast<double>(publish->held.size()));
    deps_.facts.Publish(deps_.host_name, {publish->held});
  }
}

Result<runtime::Next> OrphanReconciler::Reconcile(const std::string& key,
                                                  const std::stop_token& stop) {
  if (key != deps_.host_name) return runtime::Next::Done();
  for (const Action& action : MakePlan(Observe())) {
    if (stop.stop_requested()) return Cancelled("the pass was stopped");
    Do(action);
  }
  return runtime::Next::After(kResync);
}

Result<std::string> OrphanReconciler::Explain(const std::string& /*key*/) {
  const Observed observed = Observe();
  const crd::Json json = {{"desired", {{"orphans", "held, never deleted"}}},
                          {"observed",
                           {{"storeRead", observed.synced},
                            {"leases", observed.leases.size()},
                            {"held", observed.held}}},
                          {"plan", runtime::ActionTexts(MakePlan(observed))}};
  return crd::DumpJson(json);
}

void OrphanReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  const std::string host = deps_.host_name;
  deps_.vms.AddHandler(
      [enqueue, host](const runtime::Informer<crd::VirtualMachine>::Change& change) {
        if (!change.before || !change.after) enqueue(host);
      });
  subscription_ = deps_.ledger.Subscribe([enqueue, host](const ledger::Change& change) {
    if (change.kind == ledger::Change::Kind::kVm) enqueue(host);
  });
  enqueue(host);
}

}  // namespace forkplane::orphan
