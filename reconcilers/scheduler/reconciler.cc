#include "reconcilers/scheduler/reconciler.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "crd/json.h"
#include "crd/well_known.h"

namespace forkplane::scheduler {
namespace {

using runtime::Next;
namespace condition = crd::condition;

store::ObjectKey KeyOf(const crd::VirtualMachine& vm) {
  return {{std::string(crd::kGroup), std::string(crd::VirtualMachine::kPlural)},
          vm.metadata.ns,
          vm.metadata.name};
}

Sight See(const crd::VirtualMachine& vm) {
  return {.bound = vm.spec.host_name,
          .gone = vm.metadata.IsBeingDeleted(),
          .finalizer = vm.metadata.HasFinalizer(crd::kVmFinalizer)};
}

bool IsHeld(const store::Object& object) {
  const std::vector<std::string>& finalizers = object.meta.finalizers;
  return std::find(finalizers.begin(), finalizers.end(), crd::kVmFinalizer) != finalizers.end();
}

// The stored object, bound. Its resourceVersion stays in the text: the write is conditional.
Result<std::string> BoundText(const store::Object& object, const std::string& host) {
  ASSIGN_OR_RETURN(crd::Json json, crd::ParseJson(object.text));
  json["spec"]["hostName"] = host;
  std::vector<std::string> finalizers = object.meta.finalizers;
  if (!IsHeld(object)) finalizers.emplace_back(crd::kVmFinalizer);
  json["metadata"]["finalizers"] = finalizers;
  return crd::DumpJson(json);
}

bool IsBound(const std::string& text) {
  const Result<crd::VirtualMachine> vm = crd::VirtualMachine::FromText(text);
  return vm.ok() && !vm->spec.host_name.empty();
}

}  // namespace

// Of the object as the store has it now, not as a cache remembers it. A Conflict is the caller's
// to meet: the key comes again.
Status SchedulerReconciler::Do(const crd::VirtualMachine& vm, const Bind& bind) {
  const store::ObjectKey key = KeyOf(vm);
  ASSIGN_OR_RETURN(const store::ObjectPtr object, deps_.store.Get(key));
  if (!object || object->meta.uid != vm.metadata.uid || IsBound(object->text)) return OkStatus();
  // Being deleted it takes no new finalizer, and needs no host.
  if (object->meta.terminating() && !IsHeld(*object)) return OkStatus();
  ASSIGN_OR_RETURN(const std::string text, BoundText(*object, bind.host));
  const Result<store::WriteResult> written = deps_.store.Update(key, text);
  if (written.ok() || written.error().code == Code::kNotFound) return OkStatus();
  return written.error();
}

// Its last status stays, as far as a host wrote one.
void SchedulerReconciler::SayNoHost(const crd::VirtualMachine& vm) {
  crd::VirtualMachine copy = vm;
  copy.status.observed_generation = vm.metadata.generation;
  const std::string message = fmt::format(
      "spec.hostName: there is no host {}: make it anew without one or with {}, or start the "
      "daemon with --host-name {}",
      vm.spec.host_name, deps_.host_name, vm.spec.host_name);
  const auto set = [&](std::string_view type, crd::ConditionStatus status) {
    crd::SetCondition(
        copy.status.conditions,
        {std::string(type), status, "HostNotFound", message, vm.metadata.generation, ""},
        deps_.clock.WallNow());
  };
  set(condition::kScheduled, crd::ConditionStatus::kFalse);
  set(condition::kStalled, crd::ConditionStatus::kTrue);
  set(condition::kReady, crd::ConditionStatus::kFalse);
  crd::RemoveCondition(copy.status.conditions, condition::kReconciling);
  deps_.statuses.Want(KeyOf(vm), vm.metadata.uid, crd::DumpJson(copy.ToJson()["status"]));
}

Result<Next> SchedulerReconciler::Reconcile(const std::string& key, const std::stop_token& stop) {
  const std::shared_ptr<const crd::VirtualMachine> vm = deps_.vms.Get(key);
  if (!vm) return Next::Done();
  const Plan plan = MakePlan(deps_.host_name, See(*vm));
  for (const Action& action : plan.actions) {
    if (stop.stop_requested()) return Cancelled("the pass was stopped");
    RETURN_IF_ERROR(Do(*vm, std::get<Bind>(action)));
  }
  if (plan.waiting == Waiting::kHost) SayNoHost(*vm);
  return Next::Done();
}

Result<std::string> SchedulerReconciler::Explain(const std::string& key) {
  const std::shared_ptr<const crd::VirtualMachine> vm = deps_.vms.Get(key);
  if (!vm) return NotFound("virtual machine " + key);
  const Plan plan = MakePlan(deps_.host_name, See(*vm));
  crd::Json actions = crd::Json::array();
  for (const Action& action : plan.actions) actions.push_back(ToString(action));
  const crd::Json json = {{"desired", {{"host", deps_.host_name}}},
                          {"observed", {{"bound", vm->spec.host_name}}},
                          {"plan", actions},
                          {"waiting", ToString(plan.waiting)}};
  return crd::DumpJson(json);
}

void SchedulerReconciler::Attach(const std::function<void(const std::string& key)>& enqueue) {
  deps_.vms.AddHandler(
      [enqueue](const runtime::Informer<crd::VirtualMachine>::Change& c) { enqueue(c.key); });
}

}  // namespace forkplane::scheduler
