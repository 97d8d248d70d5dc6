// Goal: what kubectl patch, apply and the typed clients send as a patch is understood as a
// Kubernetes API server does. Method: one request each through the whole server but its sockets.
#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class PatchTest : public ApiTest {
 protected:
  Reply Send(const std::string& type, const std::string& target, const Json& patch) {
    return Do("PATCH", target, patch.dump(), {{"content-type", "application/" + type + "+json"}});
  }
  Reply JsonPatch(const std::string& target, const Json& patch) {
    return Send("json-patch", target, patch);
  }
  Reply Strategic(const std::string& target, const Json& patch) {
    return Send("strategic-merge-patch", target, patch);
  }
  Json MustCreateMap(const Json& metadata, const Json& data) {
    const Reply reply =
        Post(kConfigMaps,
             {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", metadata}, {"data", data}});
    EXPECT_EQ(reply.code, 201) << reply.text;
    return reply.json;
  }
};

const std::string kUnknownFormat =
    "the body of the request was in an unknown format - accepted media types include: ";

TEST_F(PatchTest, CustomKindsHaveNoStrategicMerge) {  // T114 T117
  MustCreate("a");
  for (const char* type :
       {"application/json", "application/strategic-merge-patch+json",
        "application/apply-patch+yaml", "application/vnd.kubernetes.protobuf", "text/plain", ""}) {
    const Reply reply = Do("PATCH", kWidgets + "/a", "{}", {{"content-type", type}});
    EXPECT_EQ(reply.code, 415) << type;
    EXPECT_EQ(reply.message(),
              kUnknownFormat + "application/json-patch+json, application/merge-patch+json");
  }
  const std::string own = "/apis/forkplane.dev/v1alpha1/namespaces/default/virtualmachines/a";
  EXPECT_EQ(Strategic(own, Json::object()).code, 415);
  MustCreateMap({{"name", "m"}}, {});
  EXPECT_EQ(Do("PATCH", kConfigMaps + "/m", "{}", {{"content-type", "application/json"}}).message(),
            kUnknownFormat +
                "application/json-patch+json, application/merge-patch+json, "
                "application/strategic-merge-patch+json");
}

TEST_F(PatchTest, JsonPatchChangesTheObject) {  // T112
  MustCreate("a");
  const Reply done = JsonPatch(
      kWidgets + "/a",
      Json::array(
          {{{"op", "test"}, {"path", "/spec/cpus"}, {"value", 1}},
           {{"op", "replace"}, {"path", "/spec/cpus"}, {"value", 3}},
           {{"op", "add"}, {"path", "/metadata/labels"}, {"value", {{"example.dev/x", "y"}}}}}));
  ASSERT_EQ(done.code, 200) << done.text;
  EXPECT_EQ(done.json["spec"]["cpus"], 3);
  EXPECT_EQ(done.json["metadata"]["generation"], 2);
  const Reply label =
      JsonPatch(kWidgets + "/a",
                Json::array({{{"op", "remove"}, {"path", "/metadata/labels/example.dev~1x"}}}));
  EXPECT_EQ(label.code, 200) << label.text;
}

TEST_F(PatchTest, JsonPatchRefusals) {  // T113
  MustCreate("a");
  const auto one = [&](const Json& operation) {
    return JsonPatch(kWidgets + "/a", Json::array({operation}));
  };
  const Reply test = one({{"op", "test"}, {"path", "/spec/cpus"}, {"value", 7}});
  EXPECT_EQ(test.code, 422);
  EXPECT_EQ(test.reason(), "Invalid");
  EXPECT_EQ(test.message(), "the server rejected our request due to an error in our request");
  EXPECT_EQ(test.json["details"]["causes"][0]["message"],
            "operation 0 (test /spec/cpus): the value is another one");
  EXPECT_EQ(one({{"op", "remove"}, {"path", "/spec/nope"}}).code, 422);
  EXPECT_EQ(JsonPatch(kWidgets + "/a", Json::object()).code, 400);
  EXPECT_EQ(one({{"op", "nope"}, {"path", "/x"}}).code, 400);
  EXPECT_EQ(one({{"op", "replace"}, {"path", ""}, {"value", 1}}).code, 400);
  EXPECT_EQ(one({{"op", "replace"}, {"path", "/metadata/name"}, {"value", "b"}}).code, 400);
  EXPECT_EQ(one({{"op", "remove"}, {"path", "/kind"}}).code, 400);
  EXPECT_EQ(one({{"op", "replace"}, {"path", "/spec/cpus"}, {"value", "x"}}).code, 422);
  Json many = Json::array();
  for (int i = 0; i <= 10'000; ++i) many.push_back({{"op", "test"}, {"path", ""}, {"value", 1}});
  const Reply refused = JsonPatch(kWidgets + "/a", many);
  EXPECT_EQ(refused.code, 413);
  EXPECT_EQ(refused.reason(), "RequestEntityTooLarge");
  const Reply strict =
      JsonPatch(kWidgets + "/a?fieldValidation=Strict",
                Json::array({{{"op", "add"}, {"path", "/spec/cpuz"}, {"value", 1}}}));
  EXPECT_EQ(strict.code, 400);
  EXPECT_NE(strict.message().find("unknown field \"spec.cpuz\""), std::string::npos);
  EXPECT_EQ(Get(kWidgets + "/a").json["spec"]["cpus"], 1);
}

// kubectl 1.32 locks so while it takes field managers over.
TEST_F(PatchTest, AReplacedResourceVersionIsAnOptimisticLock) {
  const Json object = MustCreate("a");
  const auto locked = [&](const Json& revision) {
    return JsonPatch(
        kWidgets + "/a",
        Json::array(
            {{{"op", "replace"}, {"path", "/metadata/resourceVersion"}, {"value", revision}},
             {{"op", "replace"}, {"path", "/spec/cpus"}, {"value", 5}}}));
  };
  EXPECT_EQ(locked("1").code, 409);
  EXPECT_EQ(locked(object["metadata"]["resourceVersion"]).code, 200);
  EXPECT_EQ(locked(object["metadata"]["resourceVersion"]).code, 409);
}

TEST_F(PatchTest, AnObjectThatGrowsTooLargeByCopiesIsRefused) {
  MustCreateMap({{"name", "m"}}, {{"k", std::string(500'000, 'x')}});
  Json copies = Json::array();
  for (int i = 0; i < 10; ++i) {
    copies.push_back(
        {{"op", "copy"}, {"from", "/data/k"}, {"path", "/data/k" + std::to_string(i)}});
  }
  EXPECT_EQ(JsonPatch(kConfigMaps + "/m", copies).code, 422);
}

TEST_F(PatchTest, StrategicMergeOfAConfigMap) {  // T115 T116
  MustCreateMap({{"name", "m"}, {"finalizers", {"x.dev/a", "x.dev/b"}}}, {{"a", "1"}, {"b", "2"}});
  const Reply data = Strategic(kConfigMaps + "/m", {{"data", {{"a", nullptr}, {"c", "3"}}}});
  ASSERT_EQ(data.code, 200) << data.text;
  EXPECT_EQ(data.json["data"], Json({{"b", "2"}, {"c", "3"}}));
  const Reply finalizers = Strategic(
      kConfigMaps + "/m", {{"metadata", {{"$deleteFromPrimitiveList/finalizers", {"x.dev/a"}}}}});
  EXPECT_EQ(finalizers.json["metadata"]["finalizers"], Json({"x.dev/b"}));
  const Reply wrong = Strategic(kConfigMaps + "/m", {{"data", {{"$patch", "no"}}}});
  EXPECT_EQ(wrong.code, 400);
  EXPECT_NE(wrong.message().find("$patch"), std::string::npos);
  EXPECT_EQ(Strategic(kConfigMaps + "/m", {{"data", {{"$patch", "delete"}}}}).code, 200);
}

// Two controllers write conditions of one Namespace: neither takes the other's.
TEST_F(PatchTest, StrategicMergeOfANamespacesConditions) {
  const auto condition = [](const char* type, const char* status) {
    return Json{{"type", type}, {"status", status}};
  };
  const std::string status = kNamespaces + "/default/status";
  for (const char* type : {"One", "Two"}) {
    ASSERT_EQ(Strategic(status, {{"status", {{"conditions", {condition(type, "True")}}}}}).code,
              200);
  }
  const Reply done = Strategic(status, {{"status", {{"conditions", {condition("One", "False")}}}}});
  ASSERT_EQ(done.json["status"]["conditions"].size(), 2U) << done.text;
  // What a patch adds stands first, as upstream has it.
  EXPECT_EQ(done.json["status"]["conditions"][0], condition("Two", "True"));
  EXPECT_EQ(done.json["status"]["conditions"][1], condition("One", "False"));
}

// What an event recorder sends when the same thing happens again.
TEST_F(PatchTest, StrategicMergeCountsAnEvent) {  // T226
  const std::string events = "/api/v1/namespaces/default/events";
  ASSERT_EQ(Post(events, {{"apiVersion", "v1"},
                          {"kind", "Event"},
                          {"metadata", {{"name", "e"}}},
                          {"involvedObject", {{"name", "a"}, {"namespace", "default"}}},
                          {"count", 1}})
                .code,
            201);
  const Reply again = Strategic(
      events + "/e", {{"count", 2}, {"lastTimestamp", "2026-01-01T00:00:00Z"}, {"message", "m"}});
  ASSERT_EQ(again.code, 200) << again.text;
  EXPECT_EQ(again.json["count"], 2);
  EXPECT_EQ(again.json["involvedObject"]["name"], "a");
}

TEST_F(PatchTest, TheScaleTakesBothFormsOfItsKind) {
  const std::string scale = kWidgets + "/a/scale";
  MustCreate("a");
  const Reply done = JsonPatch(
      scale, Json::array({{{"op", "replace"}, {"path", "/spec/replicas"}, {"value", 4}}}));
  ASSERT_EQ(done.code, 200) << done.text;
  EXPECT_EQ(done.json["spec"]["replicas"], 4);
  EXPECT_EQ(Patch(scale, {{"spec", {{"replicas", 2}}}}).json["spec"]["replicas"], 2);
  EXPECT_EQ(Strategic(scale, {{"spec", {{"replicas", 3}}}}).code, 415);
  EXPECT_EQ(JsonPatch(scale, Json::array({{{"op", "add"}, {"path", ""}, {"value", 1}}})).code, 400);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
