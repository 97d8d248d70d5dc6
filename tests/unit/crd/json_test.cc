// Goal: the traps of nlohmann/json 3.11.2 that a client could step on are closed.
#include "crd/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace forkplane::crd {
namespace {

TEST(JsonTest, DepthIsBoundedBeforeAnyoneRecurses) {
  const std::string open(100'000, '[');
  const auto deep = ParseJson(open + std::string(100'000, ']'));
  ASSERT_FALSE(deep.ok());
  EXPECT_EQ(deep.error().code, Code::kInvalid);
  EXPECT_EQ(deep.error().message, "nested deeper than 128 levels");
  EXPECT_TRUE(ParseJson(std::string(128, '[') + std::string(128, ']')).ok());
  EXPECT_FALSE(ParseJson(std::string(129, '[') + std::string(129, ']')).ok());
}

TEST(JsonTest, DuplicateKeysAreReportedAndTheLastWins) {
  std::vector<std::string> duplicates;
  const auto json = ParseJson(
      R"({"spec":{"replicas":1,"replicas":2,"disks":[{"name":"a"},{"name":"b","name":"c"}]}})", {},
      &duplicates);
  ASSERT_TRUE(json.ok());
  EXPECT_EQ((*json)["spec"]["replicas"], 2);
  EXPECT_EQ((*json)["spec"]["disks"][1]["name"], "c");
  EXPECT_EQ(duplicates, (std::vector<std::string>{"spec.replicas", "spec.disks[1].name"}));
}

TEST(JsonTest, WhatIsNotOneDocumentIsRefused) {
  for (const std::string_view text :
       {"", "{", "{} {}", "{'a':1}", "{\"a\":1,}", "nul", "\"\xff\xfe\"", "1e999", "[1 2]"}) {
    const auto json = ParseJson(text);
    ASSERT_FALSE(json.ok()) << text;
    EXPECT_EQ(json.error().code, Code::kInvalid);
    EXPECT_FALSE(json.error().message.empty());
  }
}

TEST(JsonTest, SizeIsBounded) {
  EXPECT_FALSE(ParseJson("[1,2,3,4]", {.depth_max = 10, .bytes_max = 5}).ok());
}

TEST(JsonTest, ForeignBytesArePrintedNotThrown) {
  EXPECT_EQ(DumpJson(Json("a\xff")), "\"a\xef\xbf\xbd\"");
}

TEST(JsonTest, MergePatchDeletesWithNull) {
  Json target = Json::parse(R"({"a":1,"b":{"c":2,"d":3},"e":[1]})");
  MergePatch(target, Json::parse(R"({"a":null,"b":{"c":4},"e":[2,3]})"));
  EXPECT_EQ(target, Json::parse(R"({"b":{"c":4,"d":3},"e":[2,3]})"));
}

TEST(JsonTest, PathsFindWhatIsThere) {
  const Json json = Json::parse(R"({"spec":{"hostName":"a"}})");
  ASSERT_NE(FindPath(json, ".spec.hostName"), nullptr);
  EXPECT_EQ(*FindPath(json, "spec.hostName"), "a");
  EXPECT_EQ(FindPath(json, "spec.hostName.x"), nullptr);
  EXPECT_EQ(FindPath(json, "spec.other"), nullptr);
}

}  // namespace
}  // namespace forkplane::crd
