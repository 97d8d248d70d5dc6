#include "reconcilers/snapshot_alias/reconciler.h"

#include <nlohmann/json.hpp>

#include "controller/runtime/plan_text.h"
#include "crd/json.h"

namespace forkplane::snapshot_alias {

SnapshotAliasReconciler::SnapshotAliasReconciler(runtime::Informer<crd::VirtualMachine>& vms,
                                                 runtime::AliasFactBoard& facts,
                                                 metrics::Registry& registry)
    : vms_(vms),
      facts_(facts),
      none_(registry.AddCounter("forkplane_snapshot_alias_total",
                                "Restored VMs by how their snapshot's paths are found.",
                                {{"strategy", kStrategyNone}, {"reason", kConstantPaths}})) {}

Desired SnapshotAliasReconciler::Desire(const std::string& uid) const {
  const auto vm = vms_.GetByUid(uid);
  return {vm && vm->spec.restore_from.has_value()};
}

Result<runtime::Next> SnapshotAliasReconciler::Reconcile(const std::string& key,
                                                         const std::stop_token& /*stop*/) {
  for (const Action& action : MakePlan(Desire(key), facts_.Get(key))) {
    if (const auto* publish = std::get_if<PublishAlias>(&action)) {
      facts_.Publish(key, publish->facts);
      none_.Increment();
    } else {
      facts_.Retract(key);
    }
  }
  return runtime::Next::Done();
}

Result<std::string> SnapshotAliasReconciler::Explain(const std::string& key) {
  const Desired desired = Desire(key);
  const std::optional<runtime::AliasFacts> observed = facts_.Get(key);
  const crd::Json json = {{"desired", {{"restored", desired.restored}}},
                          {"observed", {{"strategy", observed ? observed->strategy : ""}}},
                          {"plan", runtime::ActionTexts(MakePlan(desired, observed))}};
  return crd::DumpJson(json);
}

void SnapshotAliasReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  vms_.AddHandler([enqueue](const runtime::Informer<crd::VirtualMachine>::Change& change) {
    const bool came_or_went = !change.before || !change.after ||
                              change.before->metadata.uid != change.after->metadata.uid;
    if (!came_or_went) return;
    if (change.before) enqueue(change.before->metadata.uid);
    if (change.after) enqueue(change.after->metadata.uid);
  });
}

}  // namespace forkplane::snapshot_alias
