#include "reconcilers/restore_slot/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/runtime/plan_text.h"
#include "crd/json.h"

namespace forkplane::restore_slot {
namespace {

constexpr std::chrono::seconds kResync{30};
// While somebody waits the wait is shown; grants themselves need no polling.
constexpr std::chrono::seconds kWaitingResync{1};

Observed Count(const ledger::PoolState& state) {
  return {state.total, state.granted, static_cast<std::uint32_t>(state.waiting.size())};
}

}  // namespace

RestoreSlotReconciler::RestoreSlotReconciler(Deps deps) : deps_(std::move(deps)) {
  for (const vmm::Hypervisor* hypervisor : deps_.hypervisors) {
    const std::string& pool = hypervisor->capabilities().name;
    const auto slots = [&](const char* state) {
      return deps_.registry.AddGauge("forkplane_restore_slots",
                                     "Restore slots of a hypervisor: total, granted, waiting.",
                                     {{"pool", pool}, {"state", state}});
    };
    gauges_[pool] = {
        slots("total"), slots("granted"), slots("waiting"),
        deps_.registry.AddGauge("forkplane_restore_slot_wait_seconds",
                                "How long the first in the queue has waited.", {{"pool", pool}})};
  }
}

std::optional<Desired> RestoreSlotReconciler::Desire(const std::string& pool) const {
  const vmm::Hypervisor* hypervisor = vmm::FindHypervisor(deps_.hypervisors, pool);
  if (hypervisor == nullptr) return std::nullopt;
  const auto own = hypervisor->capabilities().concurrent_restores_max;
  Desired desired{pool, static_cast<std::uint32_t>(std::max(own, 1))};
  const std::shared_ptr<const crd::Host> host = deps_.hosts.Get(deps_.host_name);
  if (!host) return desired;
  const auto wanted = host->spec.max_concurrent_restores.find(pool);
  if (wanted != host->spec.max_concurrent_restores.end() && wanted->second > 0) {
    desired.total = static_cast<std::uint32_t>(wanted->second);
  }
  return desired;
}

ledger::PoolState RestoreSlotReconciler::Observe(const std::string& pool) const {
  for (ledger::PoolState& state : deps_.ledger.ListAll().pools) {
    if (state.pool == pool) return std::move(state);
  }
  ledger::PoolState none;
  none.pool = pool;
  return none;
}

void RestoreSlotReconciler::Show(const ledger::PoolState& state) {
  const auto found = gauges_.find(state.pool);
  if (found == gauges_.end()) return;
  Gauges& gauges = found->second;
  gauges.total.Set(state.total);
  gauges.granted.Set(state.granted);
  gauges.waiting.Set(static_cast<double>(state.waiting.size()));
  std::chrono::duration<double> wait{0};
  if (state.oldest_wait) wait = deps_.clock.WallNow() - *state.oldest_wait;
  gauges.wait_seconds.Set(wait.count());
}

Result<runtime::Next> RestoreSlotReconciler::Reconcile(const std::string& key,
                                                       const std::stop_token& stop) {
  const std::optional<Desired> desired = Desire(key);
  if (!desired) return runtime::Next::Done();
  for (const Action& action : MakePlan(*desired, Count(Observe(key)))) {
    if (stop.stop_requested()) return Cancelled("the pass was stopped");
    RETURN_IF_ERROR(deps_.ledger.GrantSlots(action.pool, action.total));
  }
  const ledger::PoolState state = Observe(key);
  Show(state);
  return runtime::Next::After(state.waiting.empty() ? kResync : kWaitingResync);
}

Result<std::string> RestoreSlotReconciler::Explain(const std::string& key) {
  const std::optional<Desired> desired = Desire(key);
  if (!desired) return NotFound("hypervisor " + key);
  const ledger::PoolState state = Observe(key);
  crd::Json waiting = crd::Json::array();
  for (const ledger::Owner& owner : state.waiting) waiting.push_back(ToString(owner));
  const crd::Json json = {
      {"desired", {{"total", desired->total}}},
      {"observed", {{"total", state.total}, {"granted", state.granted}, {"waiting", waiting}}},
      {"plan", runtime::ActionTexts(MakePlan(*desired, Count(state)))}};
  return crd::DumpJson(json);
}

void RestoreSlotReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  const auto all = [this, enqueue] {
    for (const auto& [pool, gauges] : gauges_) enqueue(pool);
  };
  deps_.hosts.AddHandler([this, all](const runtime::Informer<crd::Host>::Change& change) {
    if (change.key == deps_.host_name) all();
  });
  subscription_ = deps_.ledger.Subscribe([enqueue](const ledger::Change& change) {
    if (change.kind == ledger::Change::Kind::kSlot && !change.pool.empty()) enqueue(change.pool);
  });
  all();
}

}  // namespace forkplane::restore_slot
