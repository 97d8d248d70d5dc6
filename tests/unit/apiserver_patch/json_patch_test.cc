// Goal: a JSON patch does what RFC 6902 says, all of it or nothing, and a hostile one costs little.
// Method: tables of document, patch and result, one row for each rule; for the bounds, patches that
// are small and ask for much.
#include "controller/apiserver/patch/json_patch.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controller/apiserver/patch/json_pointer.h"
#include "controller/apiserver/patch/patch.h"

namespace forkplane::apiserver {
namespace {

using crd::Json;

// The patched document, or the error's text after "error: ".
std::string Patched(const std::string& document, const Json& patch) {
  const Result<JsonPatch> parsed = JsonPatch::Parse(patch);
  if (!parsed.ok()) return "no patch: " + parsed.error().message;
  Json object = Json::parse(document);
  const Status applied = parsed->Apply(object);
  return applied.ok() ? object.dump() : "error: " + applied.error().message;
}

TEST(JsonPatchTest, EachOperationOnObjectsAndLists) {
  const struct {
    const char* document;
    const char* patch;
    const char* result;
  } cases[] = {
      {R"({"a":1})", R"([{"op":"add","path":"/b","value":2}])", R"({"a":1,"b":2})"},
      {R"({"a":1})", R"([{"op":"add","path":"/a","value":null}])", R"({"a":null})"},
      {R"({"a":[1,3]})", R"([{"op":"add","path":"/a/1","value":2}])", R"({"a":[1,2,3]})"},
      {R"({"a":[1]})", R"([{"op":"add","path":"/a/1","value":2}])", R"({"a":[1,2]})"},
      {R"({"a":[1]})", R"([{"op":"add","path":"/a/-","value":[2]}])", R"({"a":[1,[2]]})"},
      {R"({"a":1})", R"([{"op":"add","path":"","value":{"b":1}}])", R"({"b":1})"},
      {R"({"a":1,"b":2})", R"([{"op":"remove","path":"/a"}])", R"({"b":2})"},
      {R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/1"}])", R"({"a":[1,3]})"},
      {R"({"a":1})", R"([{"op":"replace","path":"/a","value":{"x":[]}}])", R"({"a":{"x":[]}})"},
      {R"({"a":[1,2]})", R"([{"op":"replace","path":"/a/0","value":9}])", R"({"a":[9,2]})"},
      {R"({"a":{"x":1},"b":{}})", R"([{"op":"move","from":"/a/x","path":"/b/y"}])",
       R"({"a":{},"b":{"y":1}})"},
      {R"({"a":[1,2,3]})", R"([{"op":"move","from":"/a/0","path":"/a/2"}])", R"({"a":[2,3,1]})"},
      {R"({"a":1})", R"([{"op":"move","from":"/a","path":"/a"}])", R"({"a":1})"},
      {R"({"a":{"x":1}})", R"([{"op":"copy","from":"/a","path":"/a/y"}])",
       R"({"a":{"x":1,"y":{"x":1}}})"},
      {R"({"a":[1,{"b":2}]})", R"([{"op":"test","path":"/a/1","value":{"b":2}}])",
       R"({"a":[1,{"b":2}]})"},
      {R"({"a":1})", R"([{"op":"test","path":"/a","value":1.0}])", R"({"a":1})"},
      {R"({"a/b":{"c~d":1}})", R"([{"op":"replace","path":"/a~1b/c~0d","value":2}])",
       R"({"a/b":{"c~d":2}})"},
      {R"({"":1})", R"([{"op":"replace","path":"/","value":2}])", R"({"":2})"},
      {R"({"a":{"0":1}})", R"([{"op":"remove","path":"/a/0"}])", R"({"a":{}})"},
      {R"({"a":1})", R"([])", R"({"a":1})"},
      // What is not asked for is passed over.
      {R"({"a":1})", R"([{"op":"remove","path":"/a","value":1,"note":"x"}])", R"({})"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(Patched(one.document, Json::parse(one.patch)), one.result) << one.patch;
  }
}

TEST(JsonPatchTest, WhatDoesNotFitTheObjectIsNamed) {
  const struct {
    const char* patch;
    const char* error;
  } cases[] = {
      {R"([{"op":"remove","path":"/nope"}])", "operation 0 (remove /nope): there is no \"/nope\""},
      {R"([{"op":"replace","path":"/nope","value":1}])", "there is no \"/nope\""},
      {R"([{"op":"add","path":"/nope/x","value":1}])", "there is no \"/nope\""},
      {R"([{"op":"add","path":"/n/x","value":1}])", "there is no \"/n/x\""},
      {R"([{"op":"add","path":"/l/3","value":1}])", "there is no \"/l/3\""},
      {R"([{"op":"add","path":"/l/01","value":1}])", "there is no \"/l/01\""},
      {R"([{"op":"add","path":"/l/-1","value":1}])", "there is no \"/l/-1\""},
      {R"([{"op":"add","path":"/l/1e0","value":1}])", "there is no \"/l/1e0\""},
      {R"([{"op":"remove","path":"/l/-"}])", "there is no \"/l/-\""},
      {R"([{"op":"remove","path":"/l/99999999999999999999"}])", "there is no"},
      {R"([{"op":"remove","path":""}])", "the whole object cannot be taken away"},
      {R"([{"op":"move","from":"/o","path":"/o/x"}])", "cannot be moved into itself"},
      {R"([{"op":"move","from":"/nope","path":"/nope"}])", "there is no \"/nope\""},
      {R"([{"op":"copy","from":"/nope","path":"/x"}])", "there is no \"/nope\""},
      {R"([{"op":"test","path":"/n","value":2}])", "(test /n): the value is another one"},
      {R"([{"op":"test","path":"/n","value":"1"}])", "the value is another one"},
      {R"([{"op":"test","path":"/nope","value":null}])", "there is no \"/nope\""},
      {R"([{"op":"remove","path":"/n"},{"op":"test","path":"/n","value":1}])", "operation 1 (test"},
  };
  for (const auto& one : cases) {
    const std::string result = Patched(R"({"n":1,"l":[1,2],"o":{"x":1}})", Json::parse(one.patch));
    EXPECT_TRUE(result.starts_with("error: ")) << one.patch << result;
    EXPECT_NE(result.find(one.error), std::string::npos) << one.patch << result;
  }
}

TEST(JsonPatchTest, WhatIsNoPatchIsRefusedBeforeAnythingIsTouched) {
  for (const char* patch :
       {R"({})", R"("x")", R"([1])", R"([{}])", R"([{"op":"add","path":"/a"}])",
        R"([{"op":"nope","path":"/a","value":1}])", R"([{"op":"move","path":"/a"}])",
        R"([{"op":"remove","path":"a"}])", R"([{"op":"remove","path":"/a~2"}])",
        R"([{"op":"remove","path":"/a~"}])", R"([{"op":"remove","path":7}])",
        R"([{"path":"/a"}])"}) {
    EXPECT_TRUE(Patched(R"({"a":1})", Json::parse(patch)).starts_with("no patch: ")) << patch;
  }
}

TEST(JsonPatchTest, TenThousandOperationsAreTheMost) {
  Json patch = Json::array();
  for (std::size_t i = 0; i < kPatchOperationsMax; ++i) {
    patch.push_back({{"op", "test"}, {"path", "/a"}, {"value", 1}});
  }
  EXPECT_EQ(Patched(R"({"a":1})", patch), R"({"a":1})");
  patch.push_back(patch.back());
  const Result<JsonPatch> parsed = JsonPatch::Parse(patch);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, Code::kExhausted);
}

// 30 operations would make a document of a gigabyte.
TEST(JsonPatchTest, CopiesThatDoubleEndAtTheBound) {
  Json patch = Json::array();
  for (int i = 0; i < 30; ++i) {
    patch.push_back({{"op", "copy"}, {"from", "/a"}, {"path", "/a/-"}});
  }
  const std::string wide = Patched(R"({"a":["0123456789"]})", patch);
  EXPECT_NE(wide.find("the patch copies more than 3145728 bytes"), std::string::npos) << wide;
}

Json Nested(int depth) {
  Json value = Json::object();
  for (int i = 1; i < depth; ++i) value = Json{{"k", std::move(value)}};
  return value;
}

// Each of the three ways to make a document deeper than one that is read.
TEST(JsonPatchTest, NothingGrowsDeeperThanWhatIsRead) {
  const std::string document = Json{{"a", Nested(90)}, {"b", Nested(90)}}.dump();
  std::string path = "/a";
  for (int i = 1; i < 90; ++i) path += "/k";
  path += "/x";
  for (const Json& operation :
       {Json{{"op", "move"}, {"from", "/b"}, {"path", path}},
        Json{{"op", "copy"}, {"from", "/b"}, {"path", path}},
        Json{{"op", "add"}, {"path", path}, {"value", Nested(90)}},
        Json{{"op", "replace"}, {"path", "/a" + path.substr(2, 80)}, {"value", Nested(90)}}}) {
    const std::string result = Patched(document, Json::array({operation}));
    EXPECT_NE(result.find("nested deeper than 100 levels"), std::string::npos) << operation;
  }
  // What just fits is taken.
  const Json fits = {{"op", "add"}, {"path", path}, {"value", Nested(9)}};
  EXPECT_EQ(Patched(document, Json::array({fits})).find("error"), std::string::npos);
}

// 5000 insertions at the front of a list of 100 000 would move half a billion elements.
TEST(JsonPatchTest, WorkIsBounded) {
  Json patch = Json::array();
  for (int i = 0; i < 5000; ++i) {
    patch.push_back({{"op", "add"}, {"path", "/a/0"}, {"value", 1}});
  }
  const Json document = {{"a", std::vector<int>(100'000, 7)}};
  EXPECT_NE(Patched(document.dump(), patch).find("too much work"), std::string::npos);
  Json moves = Json::array();
  for (int i = 0; i < 2500; ++i) {
    moves.push_back({{"op", "move"}, {"from", "/a"}, {"path", "/b"}});
    moves.push_back({{"op", "move"}, {"from", "/b"}, {"path", "/a"}});
  }
  EXPECT_NE(Patched(document.dump(), moves).find("too much work"), std::string::npos);
}

TEST(JsonPointerTest, WhatIsReadIsPrintedAgain) {
  for (const char* text : {"", "/", "/a", "/a/0/-", "/a~1b/~0", "//x"}) {
    EXPECT_EQ(ToString(ParsePointer(text).value()), text);
  }
}

TEST(PatchTest, TheFormsAreTold) {
  std::vector<std::string> duplicates;
  EXPECT_FALSE(Patch::Parse(PatchType::kMerge, "[]", duplicates).ok());
  EXPECT_FALSE(Patch::Parse(PatchType::kStrategic, "[]", duplicates).ok());
  EXPECT_FALSE(Patch::Parse(PatchType::kJson, "{}", duplicates).ok());
  EXPECT_FALSE(Patch::Parse(PatchType::kMerge, "{", duplicates).ok());
  ASSERT_TRUE(Patch::Parse(PatchType::kMerge, R"({"a":1,"a":2})", duplicates).ok());
  EXPECT_EQ(duplicates, std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace forkplane::apiserver
