#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class ListTest : public ApiTest {
 protected:
  // Names of the list at this query, joined by commas, or the code of a refusal.
  std::string Names(const std::string& query) {
    const Reply reply = Get(kWidgets + "?" + query);
    if (reply.code != 200) return std::to_string(reply.code);
    std::string names;
    for (const Json& item : reply.json["items"]) {
      names += (names.empty() ? "" : ",") + item["metadata"]["name"].get<std::string>();
    }
    return names;
  }
  void Label(const std::string& name, const std::string& key, const std::string& value) {
    ASSERT_EQ(Patch(kWidgets + "/" + name, {{"metadata", {{"labels", {{key, value}}}}}}).code, 200);
  }
};

TEST_F(ListTest, HasTheStoresRevisionNotTheItems) {  // T032
  const Reply empty = Get(kWidgets);
  EXPECT_EQ(empty.code, 200);
  EXPECT_EQ(empty.json["kind"], "WidgetList");
  EXPECT_EQ(empty.json["apiVersion"], "test.dev/v1");
  EXPECT_EQ(empty.json["items"], Json::array());
  MustCreate("a");
  const Reply one = Get(kWidgets);
  EXPECT_EQ(one.json["items"].size(), 1u);
  EXPECT_EQ(one.json["metadata"]["resourceVersion"],
            one.json["items"][0]["metadata"]["resourceVersion"]);
  EXPECT_EQ(Get(kAllWidgets).json["items"].size(), 1u);
  // A missing namespace is simply empty (T047).
  EXPECT_EQ(Get("/apis/test.dev/v1/namespaces/nons/widgets").json["items"].size(), 0u);
}

TEST_F(ListTest, LabelSelectors) {  // T048 T049 T050 T051
  for (const char* name : {"a", "b", "c"}) MustCreate(name);
  Label("a", "app", "x");
  Label("b", "app", "y");
  EXPECT_EQ(Names("labelSelector=app%3Dx"), "a");
  EXPECT_EQ(Names("labelSelector=app+in+(x,y)"), "a,b");
  EXPECT_EQ(Names("labelSelector=app!%3Dx"), "b,c");
  EXPECT_EQ(Names("labelSelector=!app"), "c");
  EXPECT_EQ(Names("labelSelector=app,app!%3Dx"), "b");
  EXPECT_EQ(Names("labelSelector=a%3Db%3Dc"), "400");
}

TEST_F(ListTest, FieldSelectors) {  // T052 T053 T054
  for (const char* name : {"a", "b"}) MustCreate(name);
  ASSERT_EQ(Patch(kWidgets + "/b", {{"spec", {{"mode", "cold"}}}}).code, 200);
  EXPECT_EQ(Names("fieldSelector=metadata.name%3Da"), "a");
  EXPECT_EQ(Names("fieldSelector=metadata.name!%3Da"), "b");
  EXPECT_EQ(Names("fieldSelector=metadata.namespace%3Ddefault,spec.mode%3Dcold"), "b");
  const Reply reply = Get(kWidgets + "?fieldSelector=spec.cpus%3D2");
  EXPECT_EQ(reply.code, 400);
  EXPECT_NE(reply.message().find("field label not supported: spec.cpus"), std::string::npos);
}

TEST_F(ListTest, PagesShowTheSnapshotOfTheFirst) {  // T055 T056 T058
  for (const char* name : {"a", "b", "c", "d", "e"}) MustCreate(name);
  const Reply first = Get(kWidgets + "?limit=2");
  EXPECT_EQ(first.json["items"].size(), 2u);
  EXPECT_EQ(first.json["metadata"]["remainingItemCount"], 3);
  const std::string token = first.json["metadata"]["continue"];
  ASSERT_EQ(Delete(kWidgets + "/c").code, 200);
  MustCreate("cc");
  const Reply second = Get(kWidgets + "?limit=2&continue=" + token);
  ASSERT_EQ(second.code, 200) << second.text;
  EXPECT_EQ(second.json["items"][0]["metadata"]["name"], "c");
  EXPECT_EQ(second.json["items"][1]["metadata"]["name"], "d");
  EXPECT_EQ(second.json["metadata"]["resourceVersion"], first.json["metadata"]["resourceVersion"]);
  const std::string last = second.json["metadata"]["continue"];
  const Reply third = Get(kWidgets + "?limit=2&continue=" + last);
  EXPECT_EQ(third.json["items"].size(), 1u);
  EXPECT_FALSE(third.json["metadata"].contains("continue"));
  EXPECT_FALSE(
      Get(kWidgets + "?limit=2&labelSelector=!x").json["metadata"].contains("remainingItemCount"));
}

TEST_F(ListTest, BadPagingIsRefused) {  // T059 T060
  MustCreate("a");
  MustCreate("b");
  const std::string token = Get(kWidgets + "?limit=1").json["metadata"]["continue"];
  EXPECT_EQ(Get(kWidgets + "?resourceVersion=5&continue=" + token).code, 400);
  EXPECT_EQ(Names("continue=garbage"), "400");
  EXPECT_EQ(Names("limit=x"), "400");
  EXPECT_EQ(Names("limit=-1"), "a,b");
}

TEST_F(ListTest, ResourceVersionRules) {  // T062
  MustCreate("a");
  const std::string old = Get(kWidgets).json["metadata"]["resourceVersion"];
  MustCreate("b");
  EXPECT_EQ(Names("resourceVersion=0"), "a,b");
  EXPECT_EQ(Names("resourceVersion=" + old), "a,b");
  EXPECT_EQ(Names("resourceVersion=" + old + "&resourceVersionMatch=NotOlderThan"), "a,b");
  EXPECT_EQ(Names("resourceVersion=" + old + "&resourceVersionMatch=Exact"), "a");
  EXPECT_EQ(Names("resourceVersionMatch=Exact"), "422");
  EXPECT_EQ(Names("resourceVersionMatch=Exact&resourceVersion=0"), "422");
  EXPECT_EQ(Names("resourceVersionMatch=Nope&resourceVersion=1"), "422");
  EXPECT_EQ(Names("resourceVersion=abc"), "400");
  EXPECT_EQ(Names("sendInitialEvents=true"), "422");
}

TEST_F(ListTest, ARevisionOfTheFutureTimesOut) {  // T061
  const Reply reply = Get(kWidgets + "?resourceVersion=99999999");
  EXPECT_EQ(reply.code, 504);
  EXPECT_EQ(reply.reason(), "Timeout");
  EXPECT_EQ(reply.json["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
  EXPECT_EQ(reply.json["details"]["retryAfterSeconds"], 1);
  EXPECT_EQ(reply.Header("Retry-After"), "1");
}

TEST_F(ListTest, GetOfSomethingAbsentIs404) {  // T044
  const Reply reply = Get(kWidgets + "/nope");
  EXPECT_EQ(reply.code, 404);
  EXPECT_EQ(reply.message(), "widgets.test.dev \"nope\" not found");
  EXPECT_EQ(Get(kConfigMaps + "/nope").message(), "configmaps \"nope\" not found");
  EXPECT_EQ(Get("/apis/test.dev/v1/widgets/nope").code, 404);
  EXPECT_EQ(Get("/api/v1/namespaces/default/namespaces/x").code, 404);
}

TEST_F(ListTest, PrettyIsIndented) {  // T066
  MustCreate("a");
  EXPECT_NE(Get(kWidgets + "/a?pretty=true").text.find("\n  \"kind\""), std::string::npos);
}

TEST_F(ListTest, ServicesAreAnEmptyList) {  // T029
  const Reply list = Get("/api/v1/namespaces/kube-system/services?labelSelector=x%3Dy");
  EXPECT_EQ(list.code, 200);
  EXPECT_EQ(list.json["kind"], "ServiceList");
  EXPECT_EQ(list.json["items"], Json::array());
  EXPECT_EQ(Get("/api/v1/namespaces/default/services/x").code, 404);
  EXPECT_EQ(Post("/api/v1/namespaces/default/services", Json::object()).code, 405);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
