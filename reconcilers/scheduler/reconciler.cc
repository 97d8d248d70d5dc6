#include "reconcilers/scheduler/reconciler.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "controller/runtime/plan_text.h"
#include "controller/runtime/typed_object.h"
#include "controller/store/edits.h"
#include "crd/json.h"
#include "crd/well_known.h"

namespace forkplane::scheduler {
namespace {

using runtime::Next;
namespace condition = crd::condition;

Status EditVm(store::ObjectStore& store, const crd::VirtualMachine& vm,
              const std::function<bool(crd::Json& json)>& change) {
  return store::EditObject(store, runtime::KeyOf(vm), vm.metadata.uid, store::Part::kMain, change);
}

bool IsBound(const crd::Json& json) {
  const Result<crd::VirtualMachine> vm = crd::VirtualMachine::FromJson(json);
  return vm.ok() && !vm->spec.host_name.empty();
}

const std::vector<crd::MachineInterface>* CapturedInterfaces(const crd::Snapshot* snapshot) {
  if (snapshot == nullptr || !snapshot->status.machine) return nullptr;
  return &snapshot->status.machine->interfaces;
}

crd::Json InterfacesJson(const std::vector<crd::MachineInterface>& captured) {
  crd::VirtualMachine vm;
  vm.spec.interfaces.clear();
  for (const crd::MachineInterface& interface : captured) {
    vm.spec.interfaces.push_back({interface.name, interface.network, "", interface.bandwidth});
  }
  return vm.ToJson()["spec"]["interfaces"];
}

// Why a VM is not placed. The rest of its status stays as the last host wrote it.
struct Obstacle {
  std::string_view reason;
  std::string message;
  bool stalled = false;
};

crd::VirtualMachineStatus StatusOf(const crd::VirtualMachine& vm, const Obstacle& obstacle,
                                   WallTime now) {
  crd::VirtualMachineStatus status = vm.status;
  status.observed_generation = vm.metadata.generation;
  const auto set = [&](std::string_view type, crd::ConditionStatus value) {
    crd::SetCondition(status.conditions,
                      {std::string(type), value, std::string(obstacle.reason), obstacle.message,
                       vm.metadata.generation, ""},
                      now);
  };
  set(condition::kScheduled, crd::ConditionStatus::kFalse);
  set(condition::kReady, crd::ConditionStatus::kFalse);
  set(obstacle.stalled ? condition::kStalled : condition::kReconciling,
      crd::ConditionStatus::kTrue);
  crd::RemoveCondition(status.conditions,
                       obstacle.stalled ? condition::kReconciling : condition::kStalled);
  return status;
}

}  // namespace

SchedulerReconciler::Context SchedulerReconciler::Observe(
    const std::shared_ptr<const crd::VirtualMachine>& vm) const {
  Context context;
  context.vm = vm;
  context.host = deps_.hosts.Get(deps_.host_name);
  if (vm->spec.restore_from) {
    context.snapshot = deps_.snapshots.Get(
        store::NamespacedName(vm->metadata.ns, vm->spec.restore_from->snapshot_name));
  }
  context.observed = {.bound = vm->spec.host_name,
                      .gone = vm->metadata.IsBeingDeleted(),
                      .finalizer = vm->metadata.HasFinalizer(crd::kVmFinalizer),
                      .closed = context.host && !context.host->spec.TakesMachines(),
                      .awaits_interfaces = vm->spec.AwaitsInterfaces(),
                      .captured = CapturedInterfaces(context.snapshot.get()) != nullptr};
  return context;
}

Status SchedulerReconciler::Do(const Context& context, const Bind& bind) {
  return EditVm(deps_.store, *context.vm, [&bind](crd::Json& json) {
    const bool held = store::HasFinalizer(json, crd::kVmFinalizer);
    crd::Json& metadata = json["metadata"];
    // A VM that is being deleted takes no new finalizer and needs no host.
    if (IsBound(json) || (metadata.contains("deletionTimestamp") && !held)) return false;
    json["spec"]["hostName"] = bind.host;
    if (held) return true;
    if (!metadata["finalizers"].is_array()) metadata["finalizers"] = crd::Json::array();
    metadata["finalizers"].push_back(crd::kVmFinalizer);
    return true;
  });
}

Status SchedulerReconciler::Do(const Context& context, const WriteInterfaces& /*action*/) {
  const crd::Json interfaces = InterfacesJson(*CapturedInterfaces(context.snapshot.get()));
  return EditVm(deps_.store, *context.vm, [&interfaces](crd::Json& json) {
    if (json["spec"].contains("interfaces")) return false;
    json["spec"]["interfaces"] = interfaces;
    return true;
  });
}

void SchedulerReconciler::ReportNoHost(const Context& context) {
  const crd::VirtualMachine& vm = *context.vm;
  const Obstacle obstacle = {
      "HostNotFound",
      fmt::format("spec.hostName: there is no host {}: make it anew without one or with {}, or "
                  "start the daemon with --host-name {}",
                  vm.spec.host_name, deps_.host_name, vm.spec.host_name),
      true};
  deps_.statuses.Want(runtime::KeyOf(vm), vm.metadata.uid,
                      runtime::StatusText(vm, StatusOf(vm, obstacle, deps_.clock.WallNow())));
}

void SchedulerReconciler::ReportClosed(const Context& context) {
  const crd::VirtualMachine& vm = *context.vm;
  const bool drained = context.host->spec.drain != crd::Drain::kNone;
  const Obstacle obstacle = {
      drained ? "HostDrained" : "HostUnschedulable",
      fmt::format("Host {} takes no new machines: {}, or name it in spec.hostName", deps_.host_name,
                  drained ? "set its spec.drain to None" : "set its spec.unschedulable to false")};
  deps_.statuses.Want(runtime::KeyOf(vm), vm.metadata.uid,
                      runtime::StatusText(vm, StatusOf(vm, obstacle, deps_.clock.WallNow())));
}

Result<Next> SchedulerReconciler::Reconcile(const std::string& key, const std::stop_token& stop) {
  const std::shared_ptr<const crd::VirtualMachine> vm = deps_.vms.Get(key);
  if (!vm) return Next::Done();
  const Context context = Observe(vm);
  const Plan plan = MakePlan(deps_.host_name, context.observed);
  for (const Action& action : plan.actions) {
    if (stop.stop_requested()) return Cancelled("the pass was stopped");
    RETURN_IF_ERROR(std::visit([&](const auto& one) { return Do(context, one); }, action));
  }
  if (plan.waiting == Waiting::kHost) ReportNoHost(context);
  if (plan.waiting == Waiting::kClosed) ReportClosed(context);
  return Next::Done();
}

Result<std::string> SchedulerReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::VirtualMachine> vm = deps_.vms.Get(key);
  if (!vm) return NotFound("virtual machine " + key);
  const Context context = Observe(vm);
  const Plan plan = MakePlan(deps_.host_name, context.observed);
  const crd::Json json = {{"desired", {{"host", deps_.host_name}}},
                          {"observed",
                           {{"bound", vm->spec.host_name},
                            {"takesMachines", !context.observed.closed},
                            {"awaitsInterfaces", context.observed.awaits_interfaces}}},
                          {"plan", runtime::ActionTexts(plan.actions)},
                          {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

void SchedulerReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  deps_.vms.AddHandler(
      [enqueue](const runtime::Informer<crd::VirtualMachine>::Change& c) { enqueue(c.key); });
  deps_.hosts.AddHandler([this, enqueue](const runtime::Informer<crd::Host>::Change& change) {
    const bool opened =
        !change.before || !change.after || !(change.before->spec == change.after->spec);
    if (change.key != deps_.host_name || !opened) return;
    for (const auto& vm : deps_.vms.List()) {
      if (vm->spec.host_name.empty()) enqueue(vm->metadata.Key());
    }
  });
  deps_.snapshots.AddHandler([this, enqueue](const runtime::Informer<crd::Snapshot>::Change& c) {
    const crd::ObjectMeta& meta = c.any().metadata;
    if (CapturedInterfaces(c.after.get()) == nullptr) return;
    for (const auto& vm : deps_.vms.ListIn(meta.ns)) {
      const bool waits =
          vm->spec.AwaitsInterfaces() && vm->spec.restore_from->snapshot_name == meta.name;
      if (waits) enqueue(vm->metadata.Key());
    }
  });
}

}  // namespace forkplane::scheduler
