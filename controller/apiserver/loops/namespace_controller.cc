#include "controller/apiserver/loops/namespace_controller.h"

#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/edits.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

const store::GroupResource& Namespaces() {
  static const store::GroupResource resource{"", "namespaces"};
  return resource;
}

store::ObjectKey KeyOf(const std::string& name) {
  return {.resource = Namespaces(), .ns = {}, .name = name};
}

}  // namespace

Status NamespaceController::Start() {
  for (const char* name : {"default", "kube-system", "kube-public"}) {
    const Json ns = {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}};
    const Result<store::WriteResult> created = store_.Create(Namespaces(), {}, crd::DumpJson(ns));
    if (created.ok() || created.error().code == Code::kExists) continue;
    // One whose record cannot be read is there; Health tells of it.
    const Result<store::ObjectPtr> there = store_.Get(KeyOf(name));
    if (there.ok()) return created.error();
  }
  return OkStatus();
}

Status NamespaceController::Reconcile(const std::string& name) {
  ASSIGN_OR_RETURN(const store::ObjectPtr object, store_.Get(KeyOf(name)));
  if (object == nullptr || !object->meta.terminating()) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> remaining, DeleteContent(name, object->meta.uid));
  if (!remaining.empty()) return WriteRemaining(name, remaining);
  log::Info("a namespace is empty and goes", {{"namespace", name}});
  return store::EditObject(store_, KeyOf(name), object->meta.uid, store::Part::kFinalize,
                           [](Json& ns) {
                             ns["spec"]["finalizers"] = Json::array();
                             return true;
                           });
}

Result<std::vector<std::string>> NamespaceController::DeleteContent(const std::string& name,
                                                                    const std::string& uid) {
  std::vector<std::string> remaining;
  for (const crd::ResourceTypePtr& type : registry_.List()) {
    if (!type->namespaced || !type->storage) continue;
    const store::GroupResource resource{type->group, type->plural};
    ASSIGN_OR_RETURN(const store::ListResult list,
                     store_.List(resource, store::ListOptions{.ns = name}));
    // Nothing is created in a terminating namespace, so what was listed while this one was still
    // the one of its name is its own; another one of that name may hold other objects.
    ASSIGN_OR_RETURN(const store::ObjectPtr still, store_.Get(KeyOf(name)));
    if (still == nullptr || still->meta.uid != uid) return Conflict("the namespace was replaced");
    std::size_t held = 0;
    for (const store::ObjectPtr& item : list.items) {
      if (item->meta.terminating()) {
        ++held;
        continue;
      }
      const Result<store::DeleteResult> deleted = store_.Delete(
          {resource, name, item->meta.name}, store::DeleteOptions{.uid = item->meta.uid});
      if (deleted.ok() ? !deleted->removed : deleted.error().code != Code::kNotFound) ++held;
    }
    if (held > 0) {
      remaining.push_back(fmt::format("{} has {} resource instances", ToString(resource), held));
    }
  }
  return remaining;
}

Status NamespaceController::WriteRemaining(const std::string& name,
                                           const std::vector<std::string>& remaining) {
  std::string message = "Some resources are remaining: ";
  for (const std::string& item : remaining) {
    if (&item != &remaining.front()) message += ", ";
    message += item;
  }
  const std::string now = FormatTime(clock_.WallNow());
  return store::EditObject(store_, KeyOf(name), {}, store::Part::kStatus, [&](Json& ns) {
    Json& conditions = ns["status"]["conditions"];
    if (!conditions.is_array()) conditions = Json::array();
    for (Json& condition : conditions) {
      if (condition["type"] != "NamespaceContentRemaining") continue;
      if (condition["message"] == message) return false;
      condition["message"] = message;
      return true;
    }
    conditions.push_back({{"type", "NamespaceContentRemaining"},
                          {"status", "True"},
                          {"reason", "SomeResourcesRemain"},
                          {"message", message},
                          {"lastTransitionTime", now}});
    return true;
  });
}

}  // namespace forkplane::apiserver
