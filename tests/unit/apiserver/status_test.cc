// Goal: every refusal is a Status a client can read: code, reason, message, and the path of the
// field where it is one.
#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class StatusTest : public ApiTest {
 protected:
  static std::string FirstField(const Reply& reply) {
    const Json causes = reply.json.value(Json::json_pointer("/details/causes"), Json::array());
    return causes.empty() ? "" : causes[0].value("field", "");
  }
};

TEST_F(StatusTest, PathsThatMeanNothingAre404) {
  for (const char* target :
       {"/nope", "/apis/nope", "/apis/test.dev/v9", "/apis/test.dev/v1/nope", "/api/v2",
        "/api/v1/namespaces/default/nope/a", "/apis/test.dev/v1/widgets/a",
        "/api/v1/namespaces/default/namespaces", "/openapi/v4", "/openapi/v3/apis/nope",
        "/debug/ledger", "/debug/plan/a/b", "/livez/nope", "/readyz/ping/more", "/version/more",
        "/apis/test.dev/v1/namespaces/default/widgets/a/nope", "/a/b/c/d/e/f"}) {
    const Reply reply = Get(target);
    EXPECT_EQ(reply.code, 404) << target;
    EXPECT_TRUE(IsStatus(reply)) << target << ": " << reply.text;
    EXPECT_EQ(reply.reason(), "NotFound") << target;
  }
}

TEST_F(StatusTest, EveryKindOfRefusalHasAReason) {
  MustCreate("a");
  const Headers xml{{"content-type", "text/xml"}};
  const std::vector<std::pair<Reply, int>> refusals = {
      {Post(kWidgets, Json::array()), 400},
      {Do("POST", kWidgets, "{"), 400},
      {Do("POST", kWidgets, "x", xml), 415},
      {Do("PATCH", kWidgets + "/a", "{}", {{"content-type", "application/json-patch+json"}}), 400},
      {Do("PATCH", kWidgets + "/a", "{}", xml), 415},
      {Get(kWidgets, {{"accept", "text/html"}}), 406},
      {Post(kWidgets, Widget("a")), 409},
      {Post(kWidgets, Widget("NOT_A_NAME")), 422},
      {Do("PUT", kWidgets, Widget("a").dump()), 405},
      {Do("POST", "/version"), 405},
      {Do("BREW", kWidgets + "/a"), 405},
      {Get(kWidgets + "?labelSelector=%28"), 400},
      {Get(kWidgets + "?continue=nonsense"), 400},
      {Get(kWidgets + "/b"), 404},
      {Post("/apis/test.dev/v1/namespaces/nowhere/widgets", Widget("a")), 404},
      {Post(kAllWidgets, Widget("a")), 400}};
  for (const auto& [reply, code] : refusals) {
    EXPECT_EQ(reply.code, code) << reply.text;
    EXPECT_TRUE(IsStatus(reply)) << reply.text;
  }
}

TEST_F(StatusTest, TheFieldIsNamedWhereThereIsOne) {
  Json wrong = Widget("a");
  wrong["spec"]["cpus"] = "two";
  EXPECT_EQ(FirstField(Post(kWidgets, wrong)), "spec.cpus");
  EXPECT_EQ(FirstField(Post(kWidgets, Widget("NOT_A_NAME"))), "metadata.name");
  EXPECT_EQ(FirstField(Post(kWidgets + "?dryRun=Some", Widget("a"))), "dryRun");
  EXPECT_EQ(FirstField(Get(kWidgets + "?limit=many")), "limit");
  EXPECT_EQ(FirstField(Get(kWidgets + "?resourceVersion=-1")), "resourceVersion");
  EXPECT_EQ(FirstField(Get(kWidgets + "?watch=1&timeoutSeconds=x")), "timeoutSeconds");
  MustCreate("b");
  EXPECT_EQ(FirstField(Patch(kWidgets + "/b/scale", {{"spec", {{"replicas", "x"}}}})),
            "spec.replicas");
  EXPECT_EQ(FirstField(Patch(kWidgets + "/b/scale", {{"spec", {{"replicas", -1}}}})),
            "spec.replicas");
}

}  // namespace
}  // namespace forkplane::apiserver::testing
