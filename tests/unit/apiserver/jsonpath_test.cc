#include "controller/apiserver/rest/jsonpath.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace forkplane::apiserver {
namespace {

using crd::Json;

std::string Evaluate(std::string_view path, const Json& root) {
  Result<JsonPath> parsed = JsonPath::Parse(path);
  if (!parsed.ok()) return "error: " + parsed.error().message;
  std::string text;
  for (const Json* value : parsed->Find(root)) text += (text.empty() ? "" : " ") + value->dump();
  return text;
}

const Json& Sample() {
  static const Json sample = Json::parse(R"({
    "spec": {"a.b": 1, "list": [10, 20, 30], "m": {"x": 1, "y": 2}},
    "status": {"conditions": [{"type": "Ready", "status": "True", "n": 1},
                              {"type": "Other", "status": "False", "n": 2}]}})");
  return sample;
}

TEST(JsonPath, FollowsFieldsIndexesAndFilters) {
  EXPECT_EQ(Evaluate(".spec.m.x", Sample()), "1");
  EXPECT_EQ(Evaluate("spec.m.x", Sample()), "1");
  EXPECT_EQ(Evaluate(".spec.a\\.b", Sample()), "1");
  EXPECT_EQ(Evaluate(".spec['a.b']", Sample()), "1");
  EXPECT_EQ(Evaluate(".spec.list[1]", Sample()), "20");
  EXPECT_EQ(Evaluate(".spec.list[-1]", Sample()), "30");
  EXPECT_EQ(Evaluate(".spec.list[*]", Sample()), "10 20 30");
  EXPECT_EQ(Evaluate(".spec.m.*", Sample()), "1 2");
  EXPECT_EQ(Evaluate(R"(.status.conditions[?(@.type=="Ready")].status)", Sample()), R"("True")");
  EXPECT_EQ(Evaluate(R"(.status.conditions[?(@.type!='Ready')].status)", Sample()), R"("False")");
  EXPECT_EQ(Evaluate(R"(.status.conditions[?(@.n==2)].type)", Sample()), R"("Other")");
}

TEST(JsonPath, AMissingFieldLeadsNowhere) {
  EXPECT_EQ(Evaluate(".spec.nope.deeper", Sample()), "");
  EXPECT_EQ(Evaluate(".spec.list[9]", Sample()), "");
  EXPECT_EQ(Evaluate(".spec.m[0]", Sample()), "");
  EXPECT_EQ(Evaluate(R"(.spec[?(@.type=="Ready")])", Sample()), "");
}

TEST(JsonPath, RefusesWhatItDoesNotKnow) {
  for (const char* path : {".a[", ".a[x]", ".a..b", ".", ".a[?(@.b>1)]", ".a[?(b==1)]"}) {
    EXPECT_FALSE(JsonPath::Parse(path).ok()) << path;
  }
}

}  // namespace
}  // namespace forkplane::apiserver
