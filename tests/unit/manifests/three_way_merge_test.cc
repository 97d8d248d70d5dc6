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

}  // namespace
}  // namespace forkplane::manifests
