// Goal: a user's CustomResourceDefinition is served like ours, and a bad one is refused by field.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crd/type_registry.h"
#include "crd/yaml.h"

namespace forkplane::crd {
namespace {

constexpr std::string_view kWidgets = R"(
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {replicas: {type: integer}}}
          status: {type: object, properties: {replicas: {type: integer}}}
)";

Json Widgets(const std::string& change = "{}") {
  Json crd = ParseOneYaml(kWidgets).value();
  MergePatch(crd, ParseOneYaml(change).value());
  return crd;
}

std::vector<std::string> Refused(const std::string& change) {
  const auto types = ParseCrd(Widgets(change));
  std::vector<std::string> fields;
  if (types.ok()) return fields;
  for (const Cause& cause : types.error().causes) fields.push_back(cause.field);
  return fields;
}

using Fields = std::vector<std::string>;

TEST(RegistryTest, StartsWithBuiltInsAndOurKinds) {
  const auto registry = NewTypeRegistry();
  ASSERT_TRUE(registry.ok()) << registry.error().message;
  std::vector<std::string> names;
  for (const auto& type : (*registry)->List()) names.push_back(type->GroupResource());
  EXPECT_EQ(names,
            (Fields{"configmaps", "events", "namespaces", "secrets",
                    "customresourcedefinitions.apiextensions.k8s.io", "leases.coordination.k8s.io",
                    "forks.forkplane.dev", "forksets.forkplane.dev", "hosts.forkplane.dev",
                    "networks.forkplane.dev", "snapshots.forkplane.dev",
                    "virtualmachines.forkplane.dev"}));
  EXPECT_EQ((*registry)->Find("", "v1", "namespaces")->ApiVersion(), "v1");
  EXPECT_EQ((*registry)->Remove("", "namespaces").error().code, Code::kInvalid);
}

TEST(RegistryTest, EmbeddedDefinitionsPassTheDefinitionsOwnSchema) {
  const auto registry = NewTypeRegistry().value();
  const auto type = registry->FindKind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  for (const EmbeddedFile& file : EmbeddedCrds()) {
    Json crd = ParseOneYaml(file.text).value();
    EXPECT_EQ(PruneObject(*type, crd), Fields{}) << file.name;
    DefaultObject(*type, crd);
    EXPECT_TRUE(ValidateObject(*type, crd, nullptr).empty()) << file.name;
  }
}

TEST(RegistryTest, AUsersDefinitionIsServedUntilItIsRemoved) {
  const auto registry = NewTypeRegistry().value();
  int changes = 0;
  const int id = registry->Subscribe([&changes] { ++changes; });
  const std::uint64_t before = registry->version();
  ASSERT_TRUE(registry->Add(ParseCrd(Widgets()).value()).ok());
  EXPECT_GT(registry->version(), before);
  const ResourceTypePtr type = registry->Find("example.com", "v1", "widgets");
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->list_kind, "WidgetList");
  EXPECT_EQ(type->singular, "widget");
  EXPECT_EQ(type->GroupKind(), "Widget.example.com");
  ASSERT_TRUE(type->scale.has_value());
  ASSERT_EQ(type->columns.size(), 1U);
  EXPECT_EQ(type->columns[0].name, "Age");
  EXPECT_EQ(registry->FindStorage("example.com", "widgets"), type);
  EXPECT_TRUE(*registry->Remove("example.com", "widgets"));
  EXPECT_FALSE(*registry->Remove("example.com", "widgets"));
  EXPECT_EQ(registry->Find("example.com", "v1", "widgets"), nullptr);
  EXPECT_EQ(changes, 2);
  registry->Unsubscribe(id);
  ASSERT_TRUE(registry->Add(ParseCrd(Widgets()).value()).ok());
  EXPECT_EQ(changes, 2);
}

TEST(RegistryTest, NamesAreTakenOncePerGroup) {
  const auto registry = NewTypeRegistry().value();
  ASSERT_TRUE(registry->Add(ParseCrd(Widgets()).value()).ok());
  const auto other =
      ParseCrd(Widgets("metadata: {name: wodgets.example.com}\nspec: {names: {plural: "
                       "wodgets, kind: Wodget}}"));
  ASSERT_TRUE(other.ok()) << other.error().message;
  const Status taken = registry->Add(*other);
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().code, Code::kExists);
  EXPECT_EQ(taken.error().message, "\"wd\" is already in use by widgets.example.com");
}

TEST(RegistryTest, BadDefinitionsAreRefusedByField) {
  EXPECT_EQ(Refused("{}"), Fields{});
  EXPECT_EQ(Refused("metadata: {name: x.y}"), Fields{"metadata.name"});
  EXPECT_EQ(Refused("spec: {scope: Galaxy}"), Fields{"spec.scope"});
  EXPECT_EQ(Refused("spec: {names: {kind: 'a b'}}"),
            (Fields{"spec.names.singular", "spec.names.kind", "spec.names.listKind"}));
  EXPECT_EQ(Refused("spec: {conversion: {strategy: Webhook}}"), Fields{"spec.conversion.strategy"});
  EXPECT_EQ(Refused("spec: {versions: []}"), Fields{"spec.versions"});
  EXPECT_EQ(Refused("spec: {versions: [{name: v1, served: true, storage: true}]}"),
            Fields{"spec.versions[0].schema.openAPIV3Schema"});
  const std::string schema = "schema: {openAPIV3Schema: {type: object}}";
  EXPECT_EQ(Refused("spec: {versions: [{name: v1, served: true, storage: false, " + schema + "}]}"),
            Fields{"spec.versions"});
  EXPECT_EQ(Refused("spec: {versions: [{name: v1, storage: true, subresources: {scale: "
                    "{specReplicasPath: .status.x, statusReplicasPath: 'a b'}}, " +
                    schema + "}]}"),
            (Fields{"spec.versions[0].subresources.scale.specReplicasPath",
                    "spec.versions[0].subresources.scale.statusReplicasPath"}));
}

TEST(RegistryTest, MalformedDefinitionsDoNotCrash) {
  for (const char* text :
       {"{}", "[]", "null", "{\"spec\":[]}", "{\"spec\":{\"versions\":{\"a\":1}}}",
        "{\"spec\":{\"versions\":[1,null,\"x\"],\"names\":3}}"}) {
    EXPECT_FALSE(ParseCrd(Json::parse(text)).ok()) << text;
  }
}

Json Defaulted(const TypeRegistry& registry, const std::string& plural, const std::string& yaml) {
  Json object = ParseOneYaml(yaml).value();
  DefaultObject(*registry.Find("", "v1", plural), object);
  return object;
}

TEST(RegistryTest, BuiltInsFollowUpstreamsStrategies) {
  const auto registry = NewTypeRegistry().value();
  const Json secret = Defaulted(*registry, "secrets",
                                "{metadata: {name: a}, stringData: {a: x, b: xy, c: xyz, d: ''}}");
  EXPECT_EQ(secret["data"], (Json{{"a", "eA=="}, {"b", "eHk="}, {"c", "eHl6"}, {"d", ""}}));
  EXPECT_FALSE(secret.contains("stringData"));
  EXPECT_EQ(secret["type"], "Opaque");
  const Json ns = Defaulted(*registry, "namespaces", "metadata: {name: a}");
  EXPECT_EQ(ns["status"]["phase"], "Active");
  EXPECT_EQ(ns["metadata"]["labels"]["kubernetes.io/metadata.name"], "a");

  const auto config_maps = registry->Find("", "v1", "configmaps");
  const Json old =
      ParseOneYaml("{metadata: {name: a, namespace: b}, immutable: true, data: {k: v}}").value();
  Json now = old;
  EXPECT_TRUE(ValidateObject(*config_maps, now, &old).empty());
  now["data"]["k"] = "w";
  const auto causes = ValidateObject(*config_maps, now, &old);
  ASSERT_EQ(causes.size(), 1U);
  EXPECT_EQ(causes[0].message, "Forbidden: field is immutable when `immutable` is set");
}

TEST(RegistryTest, UnknownMetadataIsNamedAndNullTimestampsAreDropped) {
  const auto registry = NewTypeRegistry().value();
  const auto type = registry->Find("forkplane.dev", "v1alpha1", "virtualmachines");
  Json object = ParseOneYaml(
                    "{kind: VirtualMachine, metadata: {name: a, creationTimestamp: ~, x: 1}, "
                    "spec: {cpuz: 2}}")
                    .value();
  EXPECT_EQ(PruneObject(*type, object), (Fields{"metadata.x", "spec.cpuz"}));
  DefaultObject(*type, object);
  EXPECT_FALSE(object["metadata"].contains("creationTimestamp"));
  EXPECT_EQ(object["spec"]["memory"], "256Mi");
}

}  // namespace
}  // namespace forkplane::crd
