// Goal: fields we set are as we say, fields we forgot go, fields of others stay.
#include "controller/manifests/three_way_merge.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace forkplane::manifests {
namespace {

struct Case {
  const char* current;
  const char* last_applied;
  const char* desired;
  const char* merged;
};

TEST(ThreeWayMergeTest, Table) {
  const Case cases[] = {
      // Set, change, keep what others set.
      {R"({"a":1,"theirs":2})", "null", R"({"a":3,"b":4})", R"({"a":3,"b":4,"theirs":2})"},
      // Forgotten by us: removed. Forgotten, but never there: nothing.
      {R"({"a":1,"b":2})", R"({"a":1,"b":2,"c":3})", R"({"a":1})", R"({"a":1})"},
      // Never ours: stays, also when the last document is unknown.
      {R"({"a":1,"b":2})", "null", R"({"a":1})", R"({"a":1,"b":2})"},
      // Deep.
      {R"({"s":{"a":1,"b":2,"theirs":3}})", R"({"s":{"a":1,"b":2}})", R"({"s":{"a":1}})",
       R"({"s":{"a":1,"theirs":3}})"},
      // A whole map forgotten goes with what others put in.
      {R"({"s":{"a":1,"theirs":3}})", R"({"s":{"a":1}})", "{}", "{}"},
      // Lists are one value.
      {R"({"l":[1,2,3]})", R"({"l":[1,2]})", R"({"l":[9]})", R"({"l":[9]})"},
      // The type of a field changes.
      {R"({"a":{"b":1}})", R"({"a":{"b":1}})", R"({"a":5})", R"({"a":5})"},
      {R"({"a":5})", R"({"a":5})", R"({"a":{"b":1}})", R"({"a":{"b":1}})"},
      // null removes.
      {R"({"a":1,"b":2})", "null", R"({"a":null})", R"({"b":2})"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(MergeThreeWays(crd::Json::parse(c.current), crd::Json::parse(c.last_applied),
                             crd::Json::parse(c.desired)),
              crd::Json::parse(c.merged))
        << c.current << " " << c.last_applied << " " << c.desired;
  }
}

TEST(DifferencesTest, AreToldAsAPersonReadsThem) {
  const auto of = [](const char* before, const char* after, std::size_t most = 9) {
    return fmt::format(
        "{}",
        fmt::join(Differences(crd::Json::parse(before), crd::Json::parse(after), most), "; "));
  };
  EXPECT_EQ(of(R"({"spec":{"replicas":3,"x":"a"}})", R"({"spec":{"replicas":2,"x":"a"}})"),
            "spec.replicas: 3 -> 2");
  EXPECT_EQ(of(R"({"a":{"b":1}})", R"({"a":{},"c":"d"})"), "a.b: 1 -> none; c: none -> d");
  EXPECT_EQ(of(R"({"l":["0123456789","0123456789","0123456789","0123456789"]})", R"({"l":[]})"),
            "l changed");
  EXPECT_EQ(of(R"({"a":1,"b":1,"c":1})", "{}", 2), "a: 1 -> none; b: 1 -> none; and more");
  EXPECT_EQ(of(R"({"a":1})", R"({"a":1})"), "");
}

}  // namespace
}  // namespace forkplane::manifests
