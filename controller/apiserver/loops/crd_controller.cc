#include "controller/apiserver/loops/crd_controller.h"

#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/edits.h"
#include "controller/store/semantics.h"
#include "crd/yaml.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

// The names in the binary, read once.
const std::map<std::string, std::string>& EmbeddedDefinitions() {
  static const std::map<std::string, std::string> definitions = [] {
    std::map<std::string, std::string> by_name;
    for (const crd::EmbeddedFile& file : crd::EmbeddedCrds()) {
      const Result<Json> json = crd::ParseOneYaml(file.text);
      CHECK(json.ok());
      by_name[(*json)["metadata"]["name"].get<std::string>()] = crd::DumpJson(*json);
    }
    return by_name;
  }();
  return definitions;
}

// Sets or adds a condition; its transition time moves only with its status. True: changed.
bool SetCondition(Json& conditions, std::string_view type, bool status, std::string_view reason,
                  std::string_view message, const std::string& now) {
  if (!conditions.is_array()) conditions = Json::array();
  Json* found = nullptr;
  for (Json& condition : conditions) {
    if (condition["type"] == type) found = &condition;
  }
  if (found == nullptr) {
    conditions.push_back({{"type", type}});
    found = &conditions.back();
  }
  const Json before = *found;
  const char* const text = status ? "True" : "False";
  if ((*found)["status"] != text) (*found)["lastTransitionTime"] = now;
  (*found)["status"] = text;
  (*found)["reason"] = reason;
  (*found)["message"] = message;
  return *found != before;
}

std::string StorageVersion(const Json& spec) {
  for (const Json& version : spec["versions"]) {
    if (version.value("storage", false)) return version.value("name", "");
  }
  return {};
}

// Whether its names were accepted once: then it may have objects, and names are its own before they
// are another's.
bool WasEstablished(const Json& crd) {
  const Json* conditions = crd::FindPath(crd, "status.conditions");
  if (conditions == nullptr || !conditions->is_array()) return false;
  return std::any_of(conditions->begin(), conditions->end(), [](const Json& condition) {
    return condition.value("type", "") == "Established" && condition.value("status", "") == "True";
  });
}

// What spec.names says, with the defaults of what it leaves out.
Json AcceptedNames(const Json& spec) {
  Json names = spec["names"];
  const std::string kind = names.value("kind", "");
  if (!names.contains("listKind")) names["listKind"] = kind + "List";
  if (!names.contains("singular")) {
    std::string singular = kind;
    std::transform(singular.begin(), singular.end(), singular.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    names["singular"] = singular;
  }
  return names;
}

}  // namespace

const store::GroupResource& CrdController::Resource() { return store::DefinitionResource(); }

CrdController::CrdController(store::ObjectStore& store, crd::TypeRegistry& registry, Clock& clock)
    : store_(store), registry_(registry), clock_(clock), ours_(EmbeddedDefinitions()) {}

// Those that were served before come first: of two that want the same name, the same one gets it
// as before the restart.
Status CrdController::Start() {
  for (const auto& [name, text] : ours_) RETURN_IF_ERROR(EnsureOurs(name));
  ASSIGN_OR_RETURN(const store::ListResult list, store_.List(Resource(), {}));
  std::vector<std::string> first;
  std::vector<std::string> then;
  for (const store::ObjectPtr& object : list.items) {
    ASSIGN_OR_RETURN(const Json crd, crd::ParseJson(object->text));
    (WasEstablished(crd) ? first : then).push_back(object->meta.name);
  }
  first.insert(first.end(), then.begin(), then.end());
  for (const std::string& name : first) RETURN_IF_ERROR(Reconcile(name));
  return OkStatus();
}

Status CrdController::EnsureOurs(const std::string& name) {
  const std::string& text = ours_.at(name);
  const store::ObjectKey key{.resource = Resource(), .ns = {}, .name = name};
  const Result<store::ObjectPtr> object = store_.Get(key);
  if (!object.ok()) {
    // The kind is served by the binary all the same; Health tells of the record.
    log::Err("a definition of this server's own cannot be read",
             {{"crd", name}, {"err", object.error()}});
    return OkStatus();
  }
  if (*object == nullptr) {
    const Result<store::WriteResult> created = store_.Create(Resource(), {}, text);
    if (!created.ok() && created.error().code != Code::kExists) return created.error();
    return OkStatus();
  }
  // An older binary may have stored an older definition.
  ASSIGN_OR_RETURN(const Json wanted, crd::ParseJson(text));
  return store::EditObject(store_, key, {}, store::Part::kMain, [&wanted](Json& stored) {
    if (stored["spec"] == wanted["spec"]) return false;
    stored["spec"] = wanted["spec"];
    return true;
  });
}

Status CrdController::Reconcile(const std::string& name) {
  ASSIGN_OR_RETURN(const store::ObjectPtr object,
                   store_.Get({.resource = Resource(), .ns = {}, .name = name}));
  if (object == nullptr) {
    if (ours_.contains(name)) return EnsureOurs(name);
    applied_.erase(name);
    const std::size_t dot = name.find('.');
    if (dot == std::string::npos) return OkStatus();
    const Result<bool> removed = registry_.Remove(name.substr(dot + 1), name.substr(0, dot));
    if (removed.ok() && *removed) log::Info("a resource is not served any more", {{"crd", name}});
    return OkStatus();  // a refusal means a built-in, which no definition made
  }
  if (ours_.contains(name)) return KeepOurs(*object);
  ASSIGN_OR_RETURN(const Json crd, crd::ParseJson(object->text));
  if (object->meta.terminating()) return Retire(*object, crd);
  return Serve(*object, crd);
}

// A store of an earlier version may hold one that is being deleted: the object is replaced by a new
// one, and the objects of its kind stay.
Status CrdController::KeepOurs(const store::Object& object) {
  if (!object.meta.terminating()) return WriteStatus(object, nullptr);
  const std::string& name = object.meta.name;
  log::Warn("a definition of this server's own was being deleted and is made anew",
            {{"crd", name}});
  RETURN_IF_ERROR(store::EditObject(
      store_, {.resource = Resource(), .ns = {}, .name = name}, object.meta.uid, store::Part::kMain,
      [](Json& stored) { return stored["metadata"].erase("finalizers") > 0; }));
  return EnsureOurs(name);
}

// The types, known by the uid of their definition: the store takes an instance only while that
// definition is there and stays.
Status CrdController::Register(const store::Object& object, const Json& crd) {
  const std::string state = fmt::format("{}/{}", object.meta.uid, object.meta.generation);
  if (applied_[object.meta.name] == state) return OkStatus();
  ASSIGN_OR_RETURN(std::vector<crd::ResourceType> types, crd::ParseCrd(crd));
  for (crd::ResourceType& type : types) type.definition_uid = object.meta.uid;
  RETURN_IF_ERROR(registry_.Add(std::move(types)));
  applied_[object.meta.name] = state;
  log::Info("a resource is served", {{"crd", object.meta.name}});
  return OkStatus();
}

Status CrdController::Serve(const store::Object& object, const Json& crd) {
  const std::string& name = object.meta.name;
  RETURN_IF_ERROR(store::EditObject(store_, {.resource = Resource(), .ns = {}, .name = name},
                                    object.meta.uid, store::Part::kMain, [](Json& stored) {
                                      if (store::HasFinalizer(stored, store::kCleanupFinalizer))
                                        return false;
                                      Json& finalizers = stored["metadata"]["finalizers"];
                                      if (!finalizers.is_array()) finalizers = Json::array();
                                      finalizers.push_back(store::kCleanupFinalizer);
                                      return true;
                                    }));
  const Status registered = Register(object, crd);
  return WriteStatus(object, registered.ok() ? nullptr : &registered.error());
}

Status CrdController::WriteStatus(const store::Object& object, const Error* refused) {
  const std::string now = FormatTime(clock_.WallNow());
  return store::EditObject(
      store_, {.resource = Resource(), .ns = {}, .name = object.meta.name}, object.meta.uid,
      store::Part::kStatus, [&](Json& stored) {
        const Json before = stored.value("status", Json::object());
        Json& status = stored["status"];
        if (!status.is_object()) status = Json::object();
        const bool accepted = refused == nullptr;
        SetCondition(status["conditions"], "NamesAccepted", accepted,
                     accepted ? "NoConflicts" : "Conflict",
                     accepted ? "no conflicts found" : refused->message, now);
        // Once established, always: as upstream, and because objects may be there.
        if (accepted || !WasEstablished(stored)) {
          SetCondition(
              status["conditions"], "Established", accepted,
              accepted ? "InitialNamesAccepted" : "NotAccepted",
              accepted ? "the initial names have been accepted" : "not all names are accepted",
              now);
        }
        if (accepted) {
          status["acceptedNames"] = AcceptedNames(stored["spec"]);
          status["storedVersions"] = Json::array({StorageVersion(stored["spec"])});
        } else {
          status.emplace("acceptedNames", Json{{"kind", ""}, {"plural", ""}});
          status.emplace("storedVersions", Json::array({StorageVersion(stored["spec"])}));
        }
        return status != before;
      });
}

// After a restart too, the objects are found only when their type is served; a definition whose
// names another one took meanwhile waits for them, unless it never had an object.
Status CrdController::Retire(const store::Object& object, const Json& crd) {
  const store::ObjectKey key{.resource = Resource(), .ns = {}, .name = object.meta.name};
  if (!store::HasFinalizer(crd, store::kCleanupFinalizer)) return OkStatus();
  const Status registered = Register(object, crd);
  std::size_t left = 0;
  if (registered.ok()) {
    ASSIGN_OR_RETURN(left, DeleteInstances({crd["spec"].value("group", ""),
                                            crd["spec"]["names"].value("plural", "")}));
  }
  if (left > 0) return WriteTerminating(object, left);
  Status dropped = store::EditObject(
      store_, key, object.meta.uid, store::Part::kMain,
      [](Json& stored) { return store::DropFinalizer(stored, store::kCleanupFinalizer); });
  // The store refuses while objects are there: those of a type that is not served.
  if (!dropped.ok() && !registered.ok()) {
    return std::move(dropped).error().WithContext(registered.error().message);
  }
  return dropped;
}

// How many are left because finalizers hold them; each comes back here when it goes.
Result<std::size_t> CrdController::DeleteInstances(const store::GroupResource& resource) {
  ASSIGN_OR_RETURN(const store::ListResult list, store_.List(resource, {}));
  std::size_t left = 0;
  for (const store::ObjectPtr& item : list.items) {
    const Result<store::DeleteResult> deleted = store_.Delete(
        {resource, item->meta.ns, item->meta.name}, store::DeleteOptions{.uid = item->meta.uid});
    if (deleted.ok() ? !deleted->removed : deleted.error().code != Code::kNotFound) ++left;
  }
  return left;
}

Status CrdController::WriteTerminating(const store::Object& object, std::size_t left) {
  const std::string now = FormatTime(clock_.WallNow());
  return store::EditObject(
      store_, {.resource = Resource(), .ns = {}, .name = object.meta.name}, object.meta.uid,
      store::Part::kStatus, [&](Json& stored) {
        Json& status = stored["status"];
        if (!status.is_object()) status = Json::object();
        return SetCondition(
            status["conditions"], "Terminating", true, "InstanceDeletionInProgress",
            fmt::format("CustomResource deletion is in progress: {} objects wait for their "
                        "finalizers",
                        left),
            now);
      });
}

}  // namespace forkplane::apiserver
