#include "tests/support/store_world.h"

#include <nlohmann/json.hpp>

#include "crd/json.h"

namespace forkplane::testing {
namespace {

using crd::Json;

constexpr const char* kThingCrd = R"json({
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
  "metadata": {"name": "things.test.dev"},
  "spec": {
    "group": "test.dev", "scope": "Namespaced",
    "names": {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"},
    "versions": [{
      "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
      "selectableFields": [{"jsonPath": ".status.phase"}],
      "schema": {"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
          "size": {"type": "integer", "minimum": 0, "maximum": 1000000, "default": 1},
          "note": {"type": "string"}}},
        "status": {"type": "object", "properties": {
          "phase": {"type": "string"},
          "observed": {"type": "integer"},
          "conditions": {"type": "array", "items": {"type": "object", "properties": {
            "type": {"type": "string"}, "status": {"type": "string"},
            "reason": {"type": "string"}, "message": {"type": "string"},
            "lastTransitionTime": {"type": "string"}}}}}}}}}}]}
})json";

}  // namespace

std::unique_ptr<crd::TypeRegistry> ThingRegistry() {
  auto types = std::make_unique<crd::TypeRegistry>();
  CHECK(crd::RegisterBuiltIns(*types).ok());
  auto versions = crd::ParseCrd(crd::ParseJson(kThingCrd).value());
  CHECK(versions.ok());
  CHECK(types->Add(std::move(versions).value()).ok());
  return types;
}

std::string ThingText(const std::string& name, const std::string& spec,
                      const std::string& metadata) {
  return fmt::format(
      R"({{"apiVersion":"test.dev/v1","kind":"Thing","metadata":{{"name":"{}"{}{}}},"spec":{{{}}}}})",
      name, metadata.empty() ? "" : ",", metadata, spec);
}

std::string With(const std::string& text, const std::string& pointer, const std::string& value) {
  Json json = crd::ParseJson(text).value();
  const Json::json_pointer at(pointer);
  if (value.empty()) {
    if (json.contains(at)) json[at.parent_pointer()].erase(at.back());
  } else {
    json[at] = crd::ParseJson(value).value();
  }
  return crd::DumpJson(json);
}

std::string At(const std::string& text, const std::string& pointer) {
  const Json json = crd::ParseJson(text).value();
  const Json::json_pointer at(pointer);
  return json.contains(at) ? crd::DumpJson(json[at]) : std::string();
}

StoreWorld::StoreWorld(std::unique_ptr<store::RevisionLog> log, store::AdmissionGate* gate) {
  if (!log) log = store::NewMemoryLog(rng);
  auto opened = store::LocalObjectStore::Open(std::move(log), {.types = types.get(), .gate = gate},
                                              clock, rng, registry);
  CHECK(opened.ok());
  store = std::move(opened).value();
  for (const char* name : {"default", "other"}) {
    const std::string text =
        fmt::format(R"({{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{}"}}}})", name);
    const auto made = store->Create(kNamespaces, "", text);
    CHECK(made.ok() || made.error().code == Code::kExists);
  }
}

store::ObjectPtr StoreWorld::Get(const std::string& name, const std::string& ns) {
  return store->Get(Key(name, ns)).value();
}

store::ObjectPtr StoreWorld::Create(const std::string& name, const std::string& spec,
                                    const std::string& metadata, const std::string& ns) {
  auto created = store->Create(kThings, ns, ThingText(name, spec, metadata));
  if (!created.ok()) CheckFailed("test object is created", created.error().message);
  return created->object;
}

}  // namespace forkplane::testing
