// Goal: today's kubectl and the typed clients are understood in their first minute: protobuf of
// built-in kinds, objects that leave their kind to the URL, questions about oneself, YAML answers,
// the table of events. Method: their requests through the whole server but its sockets; the
// protobuf bodies are those a real kubectl 1.32 sent (below FORKPLANE_TESTDATA).
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "crd/yaml.h"
#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

const std::string kProtobuf = "application/vnd.kubernetes.protobuf";
const std::string kAccess = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const std::string kRules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const std::string kWhoAmI = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

class FirstContactTest : public ApiTest {
 protected:
  // As kubectl 1.32 sends it.
  Reply PostProtobuf(const std::string& target, const std::string& body) {
    return Do("POST", target, body,
              {{"content-type", kProtobuf}, {"accept", kProtobuf + ",application/json"}});
  }
  static std::string Recorded(const std::string& name) {
    const char* root = std::getenv("FORKPLANE_TESTDATA");
    if (root == nullptr) return {};
    std::ifstream file(std::string(root) + "/kubernetes/protobuf/" + name, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  Json Access(const Json& spec) {
    const Reply reply = Post(kAccess, {{"spec", spec}});
    EXPECT_EQ(reply.code, 201) << reply.text;
    return reply.json["status"];
  }
};

TEST_F(FirstContactTest, ProtobufOfBuiltInKindsIsReadAndAnsweredInJson) {  // T085 T230
  if (Recorded("namespace.body").empty()) {
    GTEST_SKIP() << "FORKPLANE_TESTDATA does not name the recorded requests";
  }
  const Reply space =
      PostProtobuf("/api/v1/namespaces?fieldValidation=Strict", Recorded("namespace.body"));
  ASSERT_EQ(space.code, 201) << space.text;
  EXPECT_EQ(space.content_type, "application/json");
  EXPECT_EQ(space.json["status"]["phase"], "Active");
  const std::string inside = "/api/v1/namespaces/team-a/";
  for (const auto& [name, plural] : {std::pair{"configmap", "configmaps"},
                                     {"configmap-binary", "configmaps"},
                                     {"secret", "secrets"}}) {
    const Reply made = PostProtobuf(inside + plural + "?fieldValidation=Strict",
                                    Recorded(std::string(name) + ".body"));
    ASSERT_EQ(made.code, 201) << made.text;
    const Json meant = Json::parse(Recorded(std::string(name) + ".json"));
    for (const char* part : {"data", "binaryData"}) {
      EXPECT_EQ(made.json.value(part, Json()), meant.value(part, Json())) << name;
    }
    EXPECT_FALSE(made.json["metadata"]["creationTimestamp"].is_null());
  }
  EXPECT_EQ(PostProtobuf(inside + "secrets", Recorded("configmap.body")).code, 422);
  const Reply review = PostProtobuf(kAccess, Recorded("selfsubjectaccessreview.body"));
  EXPECT_EQ(review.json["status"]["allowed"], true) << review.text;
  EXPECT_EQ(PostProtobuf(kRules, Recorded("selfsubjectrulesreview.body")).code, 201);
  EXPECT_EQ(PostProtobuf(kWhoAmI, Recorded("selfsubjectreview.body")).code, 201);
  // Kinds that are not served.
  EXPECT_EQ(PostProtobuf(inside + "serviceaccounts", Recorded("serviceaccount.body")).code, 404);
}

TEST_F(FirstContactTest, ProtobufOfOtherKindsIsRefused) {  // T086
  for (const std::string& target : {kWidgets, kCrds}) {
    const Reply reply = PostProtobuf(target, "k8s");
    EXPECT_EQ(reply.code, 415) << target;
    EXPECT_EQ(reply.message(),
              "the body of the request was in an unknown format - accepted media types include: "
              "application/json, application/yaml");
  }
  const Reply garbage = PostProtobuf(kConfigMaps, "k8s");
  EXPECT_EQ(garbage.code, 400);
  EXPECT_EQ(Do("POST", kConfigMaps, "x", {{"content-type", "text/plain"}}).message(),
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

// A DELETE of a typed client: DeleteOptions of the group that it deletes from.
TEST_F(FirstContactTest, DeleteOptionsComeAsProtobufToo) {
  ASSERT_EQ(Post(kConfigMaps, {{"metadata", {{"name", "m"}}}}).code, 201);
  const std::string meta = std::string("\x0a\x02v1\x12\x0d") + "DeleteOptions";
  const std::string dry_run =
      "\x2a\x03"
      "All";
  std::string body("k8s\0", 4);
  body += "\x0a" + std::string(1, static_cast<char>(meta.size())) + meta;
  body += "\x12" + std::string(1, static_cast<char>(dry_run.size())) + dry_run;
  const Reply dry = Do("DELETE", kConfigMaps + "/m", body, {{"content-type", kProtobuf}});
  EXPECT_EQ(dry.code, 200) << dry.text;
  EXPECT_EQ(Get(kConfigMaps + "/m").code, 200) << "a dry run deletes nothing";
}

TEST_F(FirstContactTest, BuiltInsWithoutKindAreWhatTheUrlSays) {
  const Reply made = Post(kConfigMaps, {{"metadata", {{"name", "m"}}}, {"data", {{"a", "1"}}}});
  ASSERT_EQ(made.code, 201) << made.text;
  EXPECT_EQ(made.json["kind"], "ConfigMap");
  EXPECT_EQ(made.json["apiVersion"], "v1");
  EXPECT_EQ(Put(kConfigMaps + "/m", {{"metadata", {{"name", "m"}}}, {"kind", ""}}).code, 200);
  EXPECT_EQ(Post(kNamespaces, {{"metadata", {{"name", "n"}}}}).code, 201);
  Json crd = WidgetCrd();
  crd.erase("kind");
  crd.erase("apiVersion");
  EXPECT_EQ(Post(kCrds + "?dryRun=All", crd).code, 201);
  // What is said must be right, and custom kinds must say it.
  EXPECT_EQ(Post(kConfigMaps, {{"kind", "Secret"}, {"metadata", {{"name", "x"}}}}).code, 422);
  EXPECT_EQ(Post(kConfigMaps, {{"apiVersion", "v2"}, {"metadata", {{"name", "x"}}}}).code, 400);
  EXPECT_EQ(Post(kConfigMaps, {{"kind", 5}, {"metadata", {{"name", "x"}}}}).code, 400);
  Json widget = Widget("a");
  widget.erase("kind");
  EXPECT_EQ(Post(kWidgets, widget).code, 400);
  EXPECT_EQ(Post(kConfigMaps, Json::array()).code, 400);
}

TEST_F(FirstContactTest, TheAdminMayDoEverything) {  // T234 T235
  EXPECT_EQ(
      Access(
          {{"resourceAttributes",
            {{"verb", "create"}, {"group", "forkplane.dev"}, {"resource", "forks"}}}})["allowed"],
      true);
  EXPECT_EQ(
      Access({{"nonResourceAttributes", {{"verb", "get"}, {"path", "/debug/ledger"}}}})["allowed"],
      true);
  const Reply rules = Post(kRules, {{"spec", {{"namespace", "default"}}}});
  const Json& granted = rules.json["status"]["resourceRules"];
  EXPECT_NE(std::find(granted.begin(), granted.end(),
                      Json({{"verbs", {"*"}}, {"apiGroups", {"*"}}, {"resources", {"*"}}})),
            granted.end())
      << rules.text;
  EXPECT_EQ(rules.json["status"]["incomplete"], false);
  const Reply me = Post(kWhoAmI, Json::object());
  EXPECT_EQ(me.json["status"]["userInfo"],
            Json({{"username", "admin"}, {"groups", {"system:masters", "system:authenticated"}}}));
  EXPECT_EQ(me.json["kind"], "SelfSubjectReview");
}

// The answers are those that the requests would get.
TEST_F(FirstContactTest, SomebodyElseIsToldTheTruth) {
  peer_ = TlsPeer{"bob", {"developers"}};
  const Json no = Access(
      {{"resourceAttributes", {{"verb", "list"}, {"group", "test.dev"}, {"resource", "widgets"}}}});
  EXPECT_EQ(no["allowed"], false);
  EXPECT_EQ(Get(kWidgets).code, 403);
  EXPECT_EQ(
      Access({{"nonResourceAttributes", {{"verb", "get"}, {"path", "/livez/ping"}}}})["allowed"],
      true);
  EXPECT_EQ(Get("/livez/ping").code, 200);
  EXPECT_EQ(Access({{"nonResourceAttributes", {{"verb", "get"}, {"path", "/metrics"}}}})["allowed"],
            false);
  EXPECT_EQ(Access({{"resourceAttributes",
                     {{"verb", "create"},
                      {"group", "authorization.k8s.io"},
                      {"resource", "selfsubjectaccessreviews"}}}})["allowed"],
            true);
  EXPECT_EQ(Post(kWhoAmI, Json::object()).json["status"]["userInfo"]["username"], "bob");
  EXPECT_EQ(Do("POST", kWhoAmI, "{}", {{"impersonate-user", "alice"}}).code, 403);
  peer_.reset();
  EXPECT_EQ(Post(kWhoAmI, Json::object()).code, 401);
}

TEST_F(FirstContactTest, ReviewsAreCreatedAndNothingElse) {
  EXPECT_EQ(Get(kAccess).code, 405);
  EXPECT_EQ(Get(kAccess + "/x").code, 404);
  EXPECT_EQ(Post(kAccess, {{"spec", Json::object()}}).code, 422);
  EXPECT_EQ(Post(kAccess, {{"kind", "Other"}, {"spec", Json::object()}}).code, 422);
  EXPECT_EQ(Post(kRules, {{"spec", Json::object()}}).code, 400);
  EXPECT_EQ(Do("POST", kWhoAmI, "{}", {{"accept", kTableAccept}}).code, 406);
  EXPECT_EQ(Do("POST", kWhoAmI, "{}", {{"accept", kTableAccept + ",application/json"}}).code, 201);
  const Reply resources = Get("/apis/authorization.k8s.io/v1");
  ASSERT_EQ(resources.code, 200);
  EXPECT_EQ(resources.json["resources"][0]["name"], "selfsubjectaccessreviews");
  EXPECT_EQ(resources.json["resources"][0]["verbs"], Json({"create"}));
  EXPECT_EQ(Get("/apis/authentication.k8s.io").json["preferredVersion"]["version"], "v1");
}

TEST_F(FirstContactTest, YamlIsAnsweredToWhoAsksForIt) {  // T067
  Json widget = Widget("a", 2);
  widget["metadata"]["annotations"] = {{"text", "two\nlines: # yes"}, {"word", "no"}};
  ASSERT_EQ(Post(kWidgets, widget).code, 201);
  const Headers yaml{{"accept", "application/yaml"}};
  for (const std::string& target :
       {kWidgets + "/a", kWidgets, kWidgets + "/a/scale", kWidgets + "/a/status",
        std::string("/api/v1/namespaces/default/services")}) {
    const Reply reply = Get(target, yaml);
    ASSERT_EQ(reply.code, 200) << target << reply.text;
    EXPECT_EQ(reply.content_type, "application/yaml");
    EXPECT_EQ(crd::ParseOneYaml(reply.text).value(), Get(target).json) << reply.text;
  }
  EXPECT_NE(Get(kWidgets + "/a", yaml).text.find("kind: Widget\nmetadata:\n  annotations:\n"),
            std::string::npos);
  const Headers table{{"accept", "application/yaml;as=Table;v=v1;g=meta.k8s.io"}};
  EXPECT_EQ(crd::ParseOneYaml(Get(kWidgets, table).text).value()["kind"], "Table");
  EXPECT_EQ(Get(kWidgets + "?watch=1", yaml).code, 406);
  EXPECT_EQ(Get(kWidgets, {{"accept", "text/html"}}).message(),
            "only the following media types are accepted: application/json, application/yaml");
}

// `kubectl get ev`: LAST SEEN, TYPE, REASON, OBJECT, MESSAGE, with ages and without NAME.
TEST_F(FirstContactTest, TheTableOfEventsIsThatOfKubernetes) {
  const std::string events = "/api/v1/namespaces/default/events";
  const auto create = [&](const std::string& name, Json event) {
    event["metadata"]["name"] = name;
    event["involvedObject"]["namespace"] = "default";
    const Reply made = Post(events, event);
    ASSERT_EQ(made.code, 201) << made.text;
  };
  create("a", {{"involvedObject", {{"kind", "VirtualMachine"}, {"name", "vm"}}},
               {"type", "Normal"},
               {"reason", "Booted"},
               {"message", " it runs\n"},
               {"count", 3},
               {"source", {{"component", "forkplane"}, {"host", "h1"}}},
               {"firstTimestamp", "2001-01-01T00:00:00Z"},
               {"lastTimestamp", "2011-01-01T00:00:00Z"}});
  create("b", {{"involvedObject", {{"kind", "Fork"}}},
               {"eventTime", "2011-01-01T00:00:00.000000Z"},
               {"reportingComponent", "other"}});
  create("c", {{"series", {{"count", 7}, {"lastObservedTime", "2011-01-01T00:00:00.000000Z"}}},
               {"count", 1}});
  const Json table = Get(events, {{"accept", kTableAccept}}).json;
  std::string columns;
  for (const Json& column : table["columnDefinitions"]) {
    columns +=
        column["name"].get<std::string>() + std::to_string(column["priority"].get<int>()) + ",";
  }
  EXPECT_EQ(
      columns,
      "Last Seen0,Type0,Reason0,Object0,Subobject1,Source1,Message0,First Seen1,Count1,Name1,");
  const Json& rows = table["rows"];
  const std::string ten_years = rows[0]["cells"][0];
  EXPECT_TRUE(ten_years.ends_with("y") && ten_years.size() == 3) << ten_years;
  const std::string older = rows[0]["cells"][7];
  EXPECT_EQ(rows[0]["cells"], Json({ten_years, "Normal", "Booted", "virtualmachine/vm", "",
                                    "forkplane, h1", "it runs", older, 3, "a"}));
  EXPECT_EQ(rows[1]["cells"],
            Json({ten_years, "", "", "fork", "", "other", "", ten_years, 1, "b"}));
  EXPECT_EQ(rows[2]["cells"][0], ten_years);
  EXPECT_EQ(rows[2]["cells"][7], "<unknown>");
  EXPECT_EQ(rows[2]["cells"][8], 7);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
