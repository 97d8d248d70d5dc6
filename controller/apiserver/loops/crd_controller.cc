#include "controller/apiserver/loops/crd_controller.h"

#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/edits.h"
#include "crd/yaml.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

constexpr std::string_view kCleanup = "customresourcecleanup.apiextensions.k8s.io";

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

const store::GroupResource& CrdController::Resource() {
  static const store::GroupResource resource{"apiextensions.k8s.io", "customresourcedefinitions"};
  return resource;
}

CrdController::CrdController(store::ObjectStore& store, crd::TypeRegistry& registry, Clock& clock)
    : store_(store), registry_(registry), clock_(clock), ours_(EmbeddedDefinitions()) {}

Status CrdController::Start() {
  for (const auto& [name, text] : ours_) RETURN_IF_ERROR(EnsureOurs(name));
  ASSIGN_OR_RETURN(const store::ListResult list, store_.List(Resource(), {}));
  for (const store::ObjectPtr& object : list.items) {
    RETURN_IF_ERROR(Reconcile(object->meta.name));
  }
  return OkStatus();
}

Status CrdController::EnsureOurs(const std::string& name) {
  const std::string& text = ours_.at(name);
  const store::ObjectKey key{.resource = Resource(), .ns = {}, .name = name};
  ASSIGN_OR_RETURN(const store::ObjectPtr object, store_.Get(key));
  if (object == nullptr) {
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

Status CrdController::Serve(const store::Object& object, const Json& crd) {
  const std::string& name = object.meta.name;
  RETURN_IF_ERROR(store::EditObject(store_, {.resource = Resource(), .ns = {}, .name = name},
                                    object.meta.uid, store::Part::kMain, [](Json& stored) {
                                      Json& finalizers = stored["metadata"]["finalizers"];
                                      if (!finalizers.is_array()) finalizers = Json::array();
                                      for (const Json& item : finalizers) {
                                        if (item == kCleanup) return false;
                                      }
                                      finalizers.push_back(kCleanup);
                                      return true;
                                    }));
  const std::string state = fmt::format("{}/{}", object.meta.uid, object.meta.generation);
  if (applied_[name] == state) return WriteStatus(object, nullptr);
  Result<std::vector<crd::ResourceType>> types = crd::ParseCrd(crd);
  if (!types.ok()) return WriteStatus(object, &types.error());
  const Status added = registry_.Add(std::move(types).value());
  if (!added.ok()) return WriteStatus(object, &added.error());
  applied_[name] = state;
  log::Info("a resource is served", {{"crd", name}});
  return WriteStatus(object, nullptr);
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
        SetCondition(
            status["conditions"], "Established", accepted,
            accepted ? "InitialNamesAccepted" : "NotAccepted",
            accepted ? "the initial names have been accepted" : "not all names are accepted", now);
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

Status CrdController::Retire(const store::Object& object, const Json& crd) {
  const store::GroupResource resource{crd["spec"].value("group", ""),
                                      crd["spec"]["names"].value("plural", "")};
  const std::vector<std::string>& finalizers = object.meta.finalizers;
  if (std::find(finalizers.begin(), finalizers.end(), kCleanup) == finalizers.end()) {
    return OkStatus();
  }
  bool empty = true;
  if (registry_.FindStorage(resource.group, resource.plural) != nullptr) {
    ASSIGN_OR_RETURN(const store::ListResult list, store_.List(resource, {}));
    for (const store::ObjectPtr& item : list.items) {
      const store::ObjectKey key{resource, item->meta.ns, item->meta.name};
      const Result<store::DeleteResult> deleted = store_.Delete(key);
      // An object whose own finalizers hold it comes back here when it goes.
      empty = empty && (deleted.ok() ? deleted->removed : deleted.error().code == Code::kNotFound);
    }
  }
  if (!empty) return OkStatus();
  return store::EditObject(store_, {.resource = Resource(), .ns = {}, .name = object.meta.name},
                           object.meta.uid, store::Part::kMain,
                           [](Json& stored) { return store::DropFinalizer(stored, kCleanup); });
}

}  // namespace forkplane::apiserver
