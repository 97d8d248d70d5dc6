// Goal: a strategic merge patch gives what a Kubernetes API server gives. Method: a table of
// object, patch and result with a row for each directive and each kind of list; the lists of an
// imagined kind stand beside those of every object.
#include "controller/apiserver/patch/strategic_merge.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace forkplane::apiserver {
namespace {

using crd::Json;

const MergeKeys& Keys() {
  static const MergeKeys keys = WithMetadataKeys({{"status.conditions", "type"},
                                                  {"spec.ports", "port"},
                                                  {"spec.ports.tags", ""},
                                                  {"spec.set", ""}});
  return keys;
}

std::string Merged(const std::string& object, const std::string& patch) {
  const Json parsed = Json::parse(patch);
  const Status checked = CheckDirectives(parsed);
  if (!checked.ok()) return "no patch: " + checked.error().message;
  Json target = Json::parse(object);
  const Status merged = StrategicMerge(Keys(), parsed, target);
  return merged.ok() ? target.dump() : "error: " + merged.error().message;
}

struct Case {
  const char* object;
  const char* patch;
  const char* result;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    EXPECT_EQ(Merged(one.object, one.patch), one.result) << one.object << "\n" << one.patch;
  }
}

TEST(StrategicMergeTest, ObjectsMergeAndNullDeletes) {
  Check({
      {R"({"data":{"a":"1","b":"2"}})", R"({"data":{"a":null,"c":"3"}})",
       R"({"data":{"b":"2","c":"3"}})"},
      {R"({"data":{"a":"1"}})", R"({"data":null})", R"({})"},
      {R"({})", R"({"data":{"a":null,"b":"2"}})", R"({"data":{"b":"2"}})"},
      {R"({"data":"text"})", R"({"data":{"a":"1"}})", R"({"data":{"a":"1"}})"},
      {R"({"data":{"a":"1"}})", R"({"data":"text"})", R"({"data":"text"})"},
      {R"({"a":{"b":{"c":1,"d":2}}})", R"({"a":{"b":{"c":3}}})", R"({"a":{"b":{"c":3,"d":2}}})"},
  });
}

TEST(StrategicMergeTest, ListsWithoutAMergeKeyAreReplaced) {
  Check({
      {R"({"spec":{"finalizers":["a","b"]}})", R"({"spec":{"finalizers":["c"]}})",
       R"({"spec":{"finalizers":["c"]}})"},
      {R"({"spec":{"l":[{"a":1}]}})", R"({"spec":{"l":[{"b":null,"c":2}]}})",
       R"({"spec":{"l":[{"c":2}]}})"},
      {R"({"spec":{"l":[1]}})", R"({"spec":{"l":[]}})", R"({"spec":{"l":[]}})"},
  });
}

TEST(StrategicMergeTest, PatchReplacesOrEmptiesAnObject) {
  Check({
      {R"({"data":{"a":"1","b":"2"}})", R"({"data":{"$patch":"replace","c":"3"}})",
       R"({"data":{"c":"3"}})"},
      {R"({"data":{"a":"1"},"x":1})", R"({"data":{"$patch":"delete"}})", R"({"data":{},"x":1})"},
      {R"({"x":1})", R"({"data":{"$patch":"delete"}})", R"({"x":1})"},
      {R"({"x":1})", R"({"$patch":"replace","y":2})", R"({"y":2})"},
  });
}

TEST(StrategicMergeTest, RetainKeysKeepsOnlyTheNamed) {
  Check({
      {R"({"spec":{"a":1,"b":2,"c":3}})", R"({"spec":{"$retainKeys":["a","d"],"d":4}})",
       R"({"spec":{"a":1,"d":4}})"},
      {R"({"spec":{"a":1}})", R"({"spec":{"$retainKeys":["a"],"b":null}})", R"({"spec":{"a":1}})"},
      {R"({"spec":{"a":1}})", R"({"spec":{"$retainKeys":["a"],"b":2}})",
       "error: $retainKeys does not name \"b\", which the patch sets"},
  });
}

TEST(StrategicMergeTest, SetsOfScalarsAreUnited) {
  Check({
      {R"({"metadata":{"finalizers":["a","b"]}})", R"({"metadata":{"finalizers":["c","a"]}})",
       R"({"metadata":{"finalizers":["c","a","b"]}})"},
      {R"({"metadata":{}})", R"({"metadata":{"finalizers":["a","a","b"]}})",
       R"({"metadata":{"finalizers":["a","b"]}})"},
      {R"({"metadata":{"finalizers":["a"]}})", R"({"metadata":{"finalizers":[]}})",
       R"({"metadata":{"finalizers":["a"]}})"},
      {R"({"metadata":{"finalizers":["a"]}})", R"({"metadata":{"finalizers":null}})",
       R"({"metadata":{}})"},
      {R"({"metadata":{"finalizers":["a"]}})", R"({"metadata":{"finalizers":[["b"]]}})",
       "error: metadata.finalizers: an element of a set of scalars is none"},
  });
}

TEST(StrategicMergeTest, DeleteFromPrimitiveListTakesValues) {
  Check({
      {R"({"metadata":{"finalizers":["a","b","c"]}})",
       R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a","nope"]}})",
       R"({"metadata":{"finalizers":["b","c"]}})"},
      {R"({"metadata":{"finalizers":["a","b"]}})",
       R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"],"finalizers":["d"]}})",
       R"({"metadata":{"finalizers":["d","b"]}})"},
      // As kubectl writes it when a finalizer goes and one comes.
      {R"({"metadata":{"finalizers":["a","b","live"]}})",
       R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"],
           "$setElementOrder/finalizers":["b","c"],"finalizers":["c"]}})",
       R"({"metadata":{"finalizers":["b","c","live"]}})"},
      {R"({"metadata":{}})", R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}})",
       R"({"metadata":{}})"},
      // Whatever the strategy of the list is.
      {R"({"spec":{"l":[1,2]}})", R"({"spec":{"$deleteFromPrimitiveList/l":[2]}})",
       R"({"spec":{"l":[1]}})"},
  });
}

TEST(StrategicMergeTest, ElementsMergeByTheirKey) {
  Check({
      {R"({"status":{"conditions":[{"type":"A","status":"True","reason":"x"}]}})",
       R"({"status":{"conditions":[{"type":"B","status":"True"},{"type":"A","status":"False"}]}})",
       R"({"status":{"conditions":[{"status":"True","type":"B"},{"reason":"x","status":"False","type":"A"}]}})"},
      {R"({"metadata":{"ownerReferences":[{"uid":"1","name":"a"},{"uid":"2","name":"b"}]}})",
       R"({"metadata":{"ownerReferences":[{"uid":"1","$patch":"delete"}]}})",
       R"({"metadata":{"ownerReferences":[{"name":"b","uid":"2"}]}})"},
      {R"({"metadata":{"ownerReferences":[{"uid":"1"}]}})",
       R"({"metadata":{"ownerReferences":[{"$patch":"replace"},{"uid":"3"}]}})",
       R"({"metadata":{"ownerReferences":[{"uid":"3"}]}})"},
      {R"({"metadata":{}})",
       R"({"metadata":{"ownerReferences":[{"uid":"1","$patch":"delete"},{"uid":"3","x":null}]}})",
       R"({"metadata":{"ownerReferences":[{"uid":"3"}]}})"},
      // A member of the element that is null goes; a set inside an element is united.
      {R"({"spec":{"ports":[{"port":80,"name":"web","tags":["a"]}]}})",
       R"({"spec":{"ports":[{"port":80,"name":null,"tags":["b"]}]}})",
       R"({"spec":{"ports":[{"port":80,"tags":["b","a"]}]}})"},
      {R"({"status":{"conditions":[]}})", R"({"status":{"conditions":[{"status":"True"}]}})",
       "error: status.conditions: an element does not have the merge key \"type\""},
      {R"({"status":{"conditions":[]}})", R"({"status":{"conditions":["x"]}})",
       "error: status.conditions: an element of a list that is merged is no object"},
      {R"({"status":{"conditions":[]}})", R"({"status":{"conditions":[{"$patch":"delete"}]}})",
       "error: status.conditions: an element does not have the merge key \"type\""},
  });
}

TEST(StrategicMergeTest, SetElementOrderOrdersWhatTheClientKnows) {
  Check({
      {R"({"metadata":{"finalizers":["a","b","c"]}})",
       R"({"metadata":{"$setElementOrder/finalizers":["c","a"]}})",
       R"({"metadata":{"finalizers":["b","c","a"]}})"},
      {R"({"spec":{"ports":[{"port":1},{"port":9},{"port":2}]}})",
       R"({"spec":{"$setElementOrder/ports":[{"port":2},{"port":3},{"port":1}],
           "ports":[{"port":3}]}})",
       R"({"spec":{"ports":[{"port":9},{"port":2},{"port":3},{"port":1}]}})"},
      {R"({"spec":{}})", R"({"spec":{"$setElementOrder/ports":[{"port":2}]}})", R"({"spec":{}})"},
      {R"({"spec":{"ports":[]}})",
       R"({"spec":{"$setElementOrder/ports":[{"port":2},{"port":1}],"ports":[{"port":1},{"port":2}]}})",
       "error: spec.ports: the elements do not keep the order of $setElementOrder/"},
      {R"({"spec":{"ports":[]}})",
       R"({"spec":{"$setElementOrder/ports":[{"port":2}],"ports":[{"port":1}]}})",
       "error: spec.ports: the elements do not keep the order of $setElementOrder/"},
  });
}

TEST(StrategicMergeTest, DirectivesWithoutTheirFormAreNoPatch) {
  for (const char* patch :
       {R"({"a":{"$patch":"merge"}})", R"({"a":{"$patch":1}})", R"({"$retainKeys":"a"})",
        R"({"$retainKeys":[1]})", R"({"$deleteFromPrimitiveList/x":"a"})",
        R"({"$deleteFromPrimitiveList/x":[{}]})", R"({"$setElementOrder/x":{}})",
        R"({"l":[{"m":{"$patch":"no"}}]})"}) {
    EXPECT_TRUE(Merged("{}", patch).starts_with("no patch: ")) << patch;
  }
}

// A list of 100 000 and a patch that turns it around: within a second; quadratic, it would outlast
// the time that a test has.
TEST(StrategicMergeTest, LongListsAreMergedInTime) {
  Json finalizers = Json::array();
  for (int i = 0; i < 100'000; ++i) finalizers.push_back("example.dev/" + std::to_string(i));
  Json turned = Json::array();
  for (auto it = finalizers.rbegin(); it != finalizers.rend(); ++it) turned.push_back(*it);
  Json object = {{"metadata", {{"finalizers", finalizers}}}};
  const Json patch = {
      {"metadata", {{"finalizers", turned}, {"$setElementOrder/finalizers", turned}}}};
  ASSERT_TRUE(StrategicMerge(Keys(), patch, object).ok());
  EXPECT_EQ(object["metadata"]["finalizers"], turned);
}

}  // namespace
}  // namespace forkplane::apiserver
