// Goal: the YAML schemas and the C++ types say the same, field by field.
// Method: walk each schema and build an object in which every field has a value that is not its
// default; it must pass through FromJson and ToJson unchanged. An object with nothing but what is
// required must decode to the same struct before and after the schema's defaults.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crd/type_registry.h"
#include "crd/types.h"

namespace forkplane::crd {
namespace {

const TypeRegistry& Registry() {
  static const auto registry = NewTypeRegistry().value();
  return *registry;
}

ResourceTypePtr TypeOf(std::string_view plural) {
  return Registry().Find(kGroup, kVersion, plural);
}

// A value of the schema that differs from its default and from the zero of its C++ type.
Json Fill(const Schema& schema, const std::string& name) {
  if (schema.enum_values) {
    for (const Json& value : *schema.enum_values) {
      if (!schema.default_value || value != *schema.default_value) return value;
    }
  }
  if (schema.int_or_string) return "7Mi";
  switch (schema.type) {
    case Schema::Type::kBoolean:
      return !(schema.default_value && *schema.default_value == Json(true));
    case Schema::Type::kInteger:
      return 7;
    case Schema::Type::kNumber:
      return 2.5;
    case Schema::Type::kString:
      return schema.pattern.find("ns|us") != std::string::npos ? Json("42s") : Json("x-" + name);
    case Schema::Type::kArray:
      return Json::array({Fill(*schema.items, name)});
    case Schema::Type::kObject:
    case Schema::Type::kAny:
      break;
  }
  if (schema.additional_properties) {
    return Json::object({{"key", Fill(*schema.additional_properties, "key")}});
  }
  Json object = Json::object();
  for (const auto& [key, property] : schema.properties) object[key] = Fill(*property, key);
  return object;
}

Json FillKind(const ResourceType& type) {
  Json object = Fill(*type.schema, "");
  object["apiVersion"] = type.ApiVersion();
  object["kind"] = type.kind;
  object["metadata"] = {{"name", "a"}};
  return object;
}

// Only what is required, and that filled the same way.
Json Least(const Schema& schema, const std::string& name) {
  if (schema.properties.empty()) return Fill(schema, name);
  Json object = Json::object();
  for (const std::string& key : schema.required) {
    object[key] = Least(*schema.properties.at(key), key);
  }
  return object;
}

template <typename K>
void CheckKind() {
  SCOPED_TRACE(K::kKind);
  const ResourceTypePtr type = TypeOf(K::kPlural);
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->kind, K::kKind);
  EXPECT_EQ(type->namespaced, K::kNamespaced);

  const Json full = FillKind(*type);
  const auto decoded = K::FromJson(full);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  Json encoded = decoded->ToJson();
  EXPECT_EQ(encoded, full) << Json::diff(full, encoded).dump(1);
  EXPECT_TRUE(PruneObject(*type, encoded).empty()) << "ToJson writes what the schema has not";

  Json least = Least(*type->schema, "");
  least["metadata"] = {{"name", "a"}};
  least.emplace("spec", Json::object());  // only in what has one is a field absent
  const auto before = K::FromJson(least);
  ASSERT_TRUE(before.ok()) << before.error().message;
  DefaultObject(*type, least);
  const auto after = K::FromJson(least);
  ASSERT_TRUE(after.ok()) << after.error().message;
  EXPECT_EQ(*before, *after) << before->ToText() << "\n" << after->ToText();
}

TEST(AgreementTest, SchemasAndTypesHaveTheSameFieldsAndDefaults) {
  CheckKind<VirtualMachine>();
  CheckKind<Snapshot>();
  CheckKind<Fork>();
  CheckKind<ForkSet>();
  CheckKind<Network>();
  CheckKind<Host>();
}

const Schema& At(std::string_view plural, std::initializer_list<std::string_view> path) {
  const Schema* schema = TypeOf(plural)->schema.get();
  for (const std::string_view part : path) {
    schema = part == "[]" ? schema->items.get() : schema->properties.find(part)->second.get();
  }
  return *schema;
}

template <typename E>
Json NamesOf() {
  Json names = Json::array();
  for (const std::string_view name : EnumNames<E>::kNames) names.push_back(name);
  return names;
}

TEST(AgreementTest, EnumsHaveTheSameWordsInTheSameOrder) {
  const std::string_view vm = "virtualmachines";
  EXPECT_EQ(*At(vm, {"spec", "powerState"}).enum_values, NamesOf<PowerState>());
  EXPECT_EQ(*At(vm, {"spec", "identity"}).enum_values, NamesOf<Identity>());
  EXPECT_EQ(*At(vm, {"spec", "restartPolicy"}).enum_values, NamesOf<RestartPolicy>());
  EXPECT_EQ(*At(vm, {"spec", "restartMode"}).enum_values, NamesOf<RestartMode>());
  EXPECT_EQ(*At(vm, {"spec", "admissionPolicy"}).enum_values, NamesOf<AdmissionPolicy>());
  EXPECT_EQ(*At(vm, {"status", "phase"}).enum_values, NamesOf<VmPhase>());
  EXPECT_EQ(*At(vm, {"status", "conditions", "[]", "status"}).enum_values,
            NamesOf<ConditionStatus>());
  EXPECT_EQ(*At("snapshots", {"spec", "type"}).enum_values, NamesOf<SnapshotType>());
  EXPECT_EQ(*At("snapshots", {"status", "phase"}).enum_values, NamesOf<SnapshotPhase>());
  EXPECT_EQ(*At("forks", {"spec", "source", "kind"}).enum_values, NamesOf<ForkSourceKind>());
  EXPECT_EQ(*At("forks", {"spec", "onHostLost"}).enum_values, NamesOf<OnHostLost>());
  EXPECT_EQ(*At("networks", {"spec", "mode"}).enum_values, NamesOf<NetworkMode>());
  EXPECT_EQ(*At("networks", {"spec", "nat"}).enum_values, NamesOf<Nat>());
  const std::string_view net = "networks";
  EXPECT_EQ(*At(net, {"spec", "egress", "policy"}).enum_values, NamesOf<EgressPolicy>());
  EXPECT_EQ(*At(net, {"spec", "ingress", "policy"}).enum_values, NamesOf<IngressPolicy>());
  EXPECT_EQ(*At(net, {"spec", "hostAccess"}).enum_values, NamesOf<Access>());
  EXPECT_EQ(*At(net, {"spec", "metadataAccess"}).enum_values, NamesOf<Access>());
  EXPECT_EQ(*At(net, {"spec", "egress", "allow", "[]", "ports", "[]", "protocol"}).enum_values,
            NamesOf<Transport>());
  EXPECT_EQ(*At("hosts", {"spec", "drain"}).enum_values, NamesOf<Drain>());
}

void CheckNode(const Schema& schema, const std::string& path, int& fields) {
  ++fields;
  EXPECT_FALSE(schema.description.empty()) << path << " has no description";
  if (schema.type == Schema::Type::kArray) {
    EXPECT_TRUE(schema.max_items) << path << " is not bounded";
    CheckNode(*schema.items, path + "[]", fields);
  }
  if (schema.additional_properties) {
    EXPECT_TRUE(schema.max_properties) << path << " is not bounded";
    CheckNode(*schema.additional_properties, path + ".*", fields);
  }
  for (const Rule& rule : schema.rules) {
    EXPECT_NE(rule.form, Rule::Form::kUnknown) << path << ": " << rule.text;
    const bool refusal = rule.message.find("is immutable") != std::string::npos ||
                         rule.message.find("not supported in this version") != std::string::npos;
    EXPECT_TRUE(refusal) << path << ": " << rule.message;
  }
  for (const auto& [name, property] : schema.properties) {
    if (path.empty() && name == "metadata") continue;
    CheckNode(*property, path + "." + name, fields);
  }
}

TEST(AgreementTest, EveryFieldIsDescribedAndBoundedAndEveryRuleRunsNatively) {
  int fields = 0;
  for (const ResourceTypePtr& type : Registry().List()) {
    if (type->group != kGroup) continue;
    SCOPED_TRACE(type->kind);
    EXPECT_TRUE(type->status_subresource);
    EXPECT_TRUE(type->warnings.empty());
    CheckNode(*type->schema, "", fields);
  }
  EXPECT_GT(fields, 250);
}

}  // namespace
}  // namespace forkplane::crd
