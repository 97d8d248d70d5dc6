// Goal: pruning, defaulting and validation do and say what a kube-apiserver does and says.
// Method: tables of schema, value and exact texts; and the recorded replies of a 1.32 server to the
// same CRD and bodies, when FORKPLANE_TESTDATA points to them.
#include "crd/schema.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "crd/resource_type.h"
#include "crd/yaml.h"

namespace forkplane::crd {
namespace {

SchemaPtr SchemaOf(const std::string& yaml) {
  return ParseSchema(ParseOneYaml(yaml).value(), "schema").value().schema;
}

// "field: message" of each cause.
std::vector<std::string> Texts(const std::vector<Cause>& causes) {
  std::vector<std::string> texts;
  texts.reserve(causes.size());
  for (const Cause& cause : causes) texts.push_back(cause.field + ": " + cause.message);
  return texts;
}

using Strings = std::vector<std::string>;

Strings Check(const std::string& property, const std::string& value) {
  const SchemaPtr schema = SchemaOf("{type: object, properties: {f: " + property + "}}");
  return Texts(Validate(*schema, ParseOneYaml("{f: " + value + "}").value()));
}

TEST(SchemaTest, TextsAreKubernetes) {
  struct Row {
    std::string property, value, text;
  };
  const std::vector<Row> table = {
      {"{type: integer}", "'1'",
       R"(Invalid value: "string": f in body must be of type integer: "string")"},
      {"{type: integer}", "1.5",
       R"(Invalid value: "number": f in body must be of type integer: "number")"},
      {"{type: string}", "1",
       R"(Invalid value: "integer": f in body must be of type string: "integer")"},
      {"{type: string}", "~", R"(Invalid value: "null": f in body must be of type string: "null")"},
      {"{type: boolean}", "{}",
       R"(Invalid value: "object": f in body must be of type boolean: "object")"},
      {"{type: integer, minimum: 1}", "0",
       "Invalid value: 0: f in body should be greater than or equal to 1"},
      {"{type: integer, maximum: 64}", "99",
       "Invalid value: 99: f in body should be less than or equal to 64"},
      {"{type: number, minimum: 0, exclusiveMinimum: true}", "0",
       "Invalid value: 0: f in body should be greater than 0"},
      {"{type: integer, multipleOf: 5}", "7",
       "Invalid value: 7: f in body should be a multiple of 5"},
      {"{type: string, pattern: '^[a-z]+$'}", "A1",
       R"(Invalid value: "A1": f in body should match '^[a-z]+$')"},
      {"{type: string, enum: [warm, cold]}", "x",
       R"(Unsupported value: "x": supported values: "warm", "cold")"},
      {"{type: string, maxLength: 3}", "abcd", "Too long: may not be more than 3 bytes"},
      {"{type: string, minLength: 1}", "''",
       R"(Invalid value: "": f in body should be at least 1 chars long)"},
      {"{type: string, format: date-time}", "soon",
       R"(Invalid value: "soon": f in body must be of type date-time: "soon")"},
      {"{type: string, format: ipv4}", "1.2.3",
       R"(Invalid value: "1.2.3": f in body must be of type ipv4: "1.2.3")"},
      {"{type: array, maxItems: 1, items: {type: integer}}", "[1, 2]",
       "Too many: 2: must have at most 1 items"},
      {"{type: array, minItems: 1, items: {type: integer}}", "[]",
       "Invalid value: 0: f in body should have at least 1 items"},
      {"{x-kubernetes-int-or-string: true}", "true",
       R"(Invalid value: "boolean": f in body must be of type integer,string: "boolean")"},
      {"{x-kubernetes-int-or-string: true, pattern: '^[0-9]+$'}", "x",
       R"(Invalid value: "x": f in body should match '^[0-9]+$')"},
      {"{type: string, not: {enum: [a]}}", "a",
       R"(Invalid value: "": "f" must not validate the schema (not))"},
  };
  for (const Row& row : table) {
    EXPECT_EQ(Check(row.property, row.value), Strings{"f: " + row.text}) << row.property;
  }
}

TEST(SchemaTest, WhatIsGoodIsLeftAlone) {
  EXPECT_EQ(Check("{type: integer}", "1.0"), Strings{});
  EXPECT_EQ(Check("{type: string, nullable: true}", "~"), Strings{});
  EXPECT_EQ(Check("{type: string, format: date-time}", "'2026-01-02T03:04:05.000006Z'"), Strings{});
  EXPECT_EQ(Check("{type: string, maxLength: 3}", "äöü"), Strings{});
  EXPECT_EQ(Check("{x-kubernetes-int-or-string: true, pattern: '^x$'}", "5"), Strings{});
  EXPECT_EQ(Check("{type: string, format: nobody-knows}", "x"), Strings{});
  EXPECT_EQ(
      Check("{type: object, oneOf: [{required: [a]}, {required: [b]}], properties: {a: {type: "
            "string}, b: {type: string}}}",
            "{a: x}"),
      Strings{});
}

TEST(SchemaTest, ListsKnowTheirKeys) {
  const std::string map =
      "{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: "
      "{type: "
      "object, required: [name], properties: {name: {type: string}, n: {type: integer}}}}";
  EXPECT_EQ(Check(map, "[{name: a}, {name: a}]"),
            Strings{R"(f[1]: Duplicate value: map[string]interface {}{"name":"a"})"});
  EXPECT_EQ(Check(map, "[{n: 1}]"), Strings{"f[0].name: Required value"});
  EXPECT_EQ(Check("{type: array, x-kubernetes-list-type: set, items: {type: string}}", "[a, b, a]"),
            Strings{R"(f[2]: Duplicate value: "a")"});
}

TEST(SchemaTest, UnknownFieldsAreDroppedAndNamed) {
  const SchemaPtr schema = SchemaOf(
      "{type: object, properties: {spec: {type: object, properties: {cpus: {type: integer}, list: "
      "{type: array, items: {type: object, properties: {a: {type: string}}}}, free: {type: object, "
      "x-kubernetes-preserve-unknown-fields: true}, map: {type: object, additionalProperties: "
      "{type: "
      "string}}}}}}");
  Json value =
      ParseOneYaml(
          "spec: {cpus: 1, cpuz: 2, list: [{a: x, b: y}], free: {any: 1}, map: {k: v}}\nz: 1\n")
          .value();
  EXPECT_EQ(Prune(*schema, value), (Strings{"spec.cpuz", "spec.list[0].b", "z"}));
  EXPECT_EQ(value,
            ParseOneYaml("spec: {cpus: 1, list: [{a: x}], free: {any: 1}, map: {k: v}}").value());
}

TEST(SchemaTest, DefaultsFillGapsAndReplaceNull) {
  const SchemaPtr schema = SchemaOf(
      "{type: object, properties: {a: {type: integer, default: 1}, b: {type: object, default: {}, "
      "properties: {c: {type: string, default: x}}}, d: {type: object, properties: {e: {type: "
      "integer, default: 2}}}, f: {type: string, nullable: true, default: x}, r: {type: string}}}");
  Json value = ParseOneYaml("{a: ~, f: ~, r: ~}").value();
  ApplyDefaults(*schema, value);
  EXPECT_EQ(value, ParseOneYaml("{a: 1, b: {c: x}, f: ~}").value());
}

TEST(SchemaTest, TransitionRulesCompareWithTheOldSelf) {
  const SchemaPtr schema = SchemaOf(
      "{type: object, x-kubernetes-validations: [{rule: 'has(self.r) == has(oldSelf.r)', message: "
      "r "
      "is immutable}], properties: {r: {type: string, x-kubernetes-validations: [{rule: self == "
      "oldSelf, message: r is immutable}]}, h: {type: string, x-kubernetes-validations: [{rule: "
      "\"oldSelf == '' || self == oldSelf\", message: h is immutable}]}}}");
  const auto check = [&](const std::string& now, const std::string& then) {
    const Json old = ParseOneYaml(then).value();
    return Texts(Validate(*schema, ParseOneYaml(now).value(), &old, "spec"));
  };
  EXPECT_EQ(check("{r: a, h: b}", "{r: a, h: ''}"), Strings{});
  EXPECT_EQ(check("{r: b}", "{r: a}"),
            Strings{R"(spec.r: Invalid value: "string": r is immutable)"});
  EXPECT_EQ(check("{h: x}", "{r: a, h: ''}"),
            Strings{R"(spec: Invalid value: "object": r is immutable)"});
  EXPECT_EQ(check("{h: b}", "{h: a}"),
            Strings{R"(spec.h: Invalid value: "string": h is immutable)"});
}

TEST(SchemaTest, ItemsOfAMapListAreComparedWithTheirOldSelves) {
  const SchemaPtr schema = SchemaOf(
      "{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: "
      "{type: "
      "object, required: [name], properties: {name: {type: string}, v: {type: integer, "
      "x-kubernetes-validations: [{rule: self == oldSelf, message: v is immutable}]}}}}");
  const Json old = ParseOneYaml("[{name: a, v: 1}, {name: b, v: 2}]").value();
  const Json moved = ParseOneYaml("[{name: c, v: 9}, {name: b, v: 2}, {name: a, v: 3}]").value();
  EXPECT_EQ(Texts(Validate(*schema, moved, &old, "l")),
            Strings{R"(l[2].v: Invalid value: "integer": v is immutable)"});
}

TEST(SchemaTest, WhatIsNotStructuralIsRefused) {
  const auto fields = [](const std::string& yaml) {
    const auto parsed = ParseSchema(ParseOneYaml(yaml).value(), "s");
    Strings texts;
    if (!parsed.ok()) texts = Texts(parsed.error().causes);
    return texts.empty() ? std::string() : texts[0];
  };
  EXPECT_EQ(fields("{type: object, properties: {a: {}}}"),
            "s.properties[a].type: Required value: must not be empty for specified object fields");
  EXPECT_NE(fields("{type: objekt}"), "");
  EXPECT_NE(fields("{type: array}"), "");
  EXPECT_NE(fields("{type: string, pattern: '('}"), "");
  EXPECT_NE(fields("{type: string, $ref: x}"), "");
  EXPECT_NE(fields("{type: integer, default: x}"), "");
  EXPECT_NE(fields("{type: object, default: {x: 1}}"), "");
  EXPECT_NE(fields("{type: array, x-kubernetes-list-type: map, items: {type: object}}"), "");
  EXPECT_NE(fields("{type: object, properties: {a: {type: string}}, additionalProperties: {type: "
                   "string}}"),
            "");
  std::string deep = "{type: string}";
  for (int i = 0; i < 60; ++i) deep = "{type: array, items: " + deep + "}";
  EXPECT_NE(fields(deep).find("levels deep"), std::string::npos);
}

TEST(SchemaTest, ARuleThatIsNotEnforcedIsSaid) {
  const auto parsed = ParseSchema(
      ParseOneYaml("{type: object, x-kubernetes-validations: [{rule: self.a > 1}]}").value(), "s");
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed->warnings.size(), 1U);
}

std::string Slurp(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The server adds this one when CEL rules could not run; we have no CEL.
constexpr std::string_view kCelNotRun = "some validation rules were not checked";

std::set<std::string> RecordedCauses(const std::string& path) {
  std::set<std::string> causes;
  const Json status = ParseJson(Slurp(path)).value();
  for (const Json& cause : status["details"]["causes"]) {
    const auto message = cause["message"].get<std::string>();
    if (message.find(kCelNotRun) != std::string::npos) continue;
    causes.insert(cause["field"].get<std::string>() + ": " + message);
  }
  return causes;
}

TEST(SchemaTest, TextsEqualTheRepliesOfARealServer) {
  const char* testdata = std::getenv("FORKPLANE_TESTDATA");
  if (testdata == nullptr) GTEST_SKIP() << "FORKPLANE_TESTDATA is not set";
  const std::string root = std::string(testdata) + "/kubernetes/";
  const auto types = ParseCrd(ParseOneYaml(Slurp(root + "manifests/crd-vm.yaml")).value());
  ASSERT_TRUE(types.ok()) << types.error().message;
  const ResourceType& type = types->at(0);
  EXPECT_EQ(type.selectable_fields, Strings{"spec.image"});

  const auto check = [&](const std::string& name, const std::string& change) {
    Json object = ParseOneYaml(
                      "apiVersion: h2.example.com/v1alpha1\nkind: VirtualMachine\nmetadata: "
                      "{name: e1, namespace: default}\nspec: {image: img, vcpus: 1}\n")
                      .value();
    MergePatch(object, ParseOneYaml(change).value());
    DefaultObject(type, object);
    std::set<std::string> ours;
    for (const std::string& text : Texts(ValidateObject(type, object, nullptr))) ours.insert(text);
    EXPECT_EQ(ours, RecordedCauses(root + "1.32/" + name + ".body")) << name;
  };
  check("err-422-many",
        "spec: {image: ~, vcpus: 0, memory: x, networks: [{name: a, rateMbit: 0}, {name: a}], "
        "tags: [a, "
        "a]}");
  check("err-422-type", "spec: {vcpus: two}");
  check("err-422-float", "spec: {vcpus: 1.5}");
  check("err-422-enum", "spec: {powerState: 'On'}");
  check("err-422-missing-spec", "spec: ~");
  check("err-422-name", "metadata: {name: Bad_Name}");
  check("err-labels-invalid", "metadata: {labels: {'a b': c d}}");
  check("err-ownerref-invalid", "metadata: {ownerReferences: [{name: x}]}");
}

}  // namespace
}  // namespace forkplane::crd
