// Goal: a document of any shape reads without an error, as the empty value where it says nothing.
#include "crd/json_members.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace forkplane::crd {
namespace {

TEST(JsonMembersTest, WhatIsThereIsRead) {
  const Json object =
      ParseJson(R"({"a":"x","n":7,"f":true,"l":["p",3,"q"],"m":{"a":"y","n":8}})").value();
  EXPECT_EQ(TextOf(object, "a"), "x");
  EXPECT_EQ(IntegerOf(object, "n"), 7);
  EXPECT_TRUE(FlagOf(object, "f"));
  EXPECT_EQ(TextsOf(object, "l"), (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ(TextAt(object, "m.a"), "y");
  EXPECT_EQ(IntegerAt(object, "m.n"), 8);
  EXPECT_EQ(MemberOf(object, "m").size(), 2U);
}

TEST(JsonMembersTest, WhatIsAbsentOrOfAnotherTypeReadsAsEmpty) {
  for (const char* text : {"null", "3", "\"text\"", "[1]", "{}", R"({"k":{"k":{}}})",
                           R"({"k":[[]]})", R"({"k":1.5})"}) {
    const Json object = ParseJson(text).value();
    EXPECT_EQ(TextOf(object, "k"), "") << text;
    EXPECT_EQ(IntegerOf(object, "k"), 0) << text;
    EXPECT_TRUE(FlagOf(object, "k", true)) << text;
    EXPECT_FALSE(FlagOf(object, "k")) << text;
    EXPECT_TRUE(TextsOf(object, "k").empty()) << text;
    EXPECT_EQ(TextAt(object, "k.k"), "") << text;
    EXPECT_EQ(IntegerAt(object, "k.k"), 0) << text;
  }
  EXPECT_TRUE(MemberOf(Json(3), "k").is_null());
}

}  // namespace
}  // namespace forkplane::crd
