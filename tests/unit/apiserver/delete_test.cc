#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class DeleteTest : public ApiTest {
 protected:
  void Hold(const std::string& name) {
    ASSERT_EQ(
        Patch(kWidgets + "/" + name, {{"metadata", {{"finalizers", {"test.dev/hold"}}}}}).code,
        200);
  }
};

TEST_F(DeleteTest, RemovesAtOnceAndSaysWhat) {  // T200 T207
  const Json object = MustCreate("a");
  const Reply reply = Delete(kWidgets + "/a", R"({"propagationPolicy":"Background"})");
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.json["status"], "Success");
  EXPECT_EQ(reply.json["details"], (Json{{"name", "a"},
                                         {"group", "test.dev"},
                                         {"kind", "widgets"},
                                         {"uid", object["metadata"]["uid"]}}));
  const Reply again = Delete(kWidgets + "/a");
  EXPECT_EQ(again.code, 404);
  EXPECT_EQ(again.message(), "widgets.test.dev \"a\" not found");
}

TEST_F(DeleteTest, FinalizersHoldIt) {  // T201 T202 T203 T204 T205
  MustCreate("a");
  Hold("a");
  const Reply first = Delete(kWidgets + "/a");
  EXPECT_EQ(first.code, 200);
  EXPECT_TRUE(first.json["metadata"].contains("deletionTimestamp"));
  EXPECT_EQ(first.json["metadata"]["generation"], 2);
  const Reply second = Delete(kWidgets + "/a");
  EXPECT_EQ(second.code, 200);
  EXPECT_EQ(second.json["metadata"]["resourceVersion"], first.json["metadata"]["resourceVersion"]);
  const Reply recreate = Post(kWidgets, Widget("a"));
  EXPECT_EQ(recreate.code, 409);
  EXPECT_EQ(recreate.message(), "object is being deleted: widgets.test.dev \"a\" already exists");
  const Reply more =
      Patch(kWidgets + "/a", {{"metadata", {{"finalizers", {"test.dev/hold", "test.dev/two"}}}}});
  EXPECT_EQ(more.code, 422);
  EXPECT_NE(more.message().find("no new finalizers can be added if the object is being deleted"),
            std::string::npos);
  EXPECT_EQ(Patch(kWidgets + "/a", {{"metadata", {{"finalizers", nullptr}}}}).code, 200);
  EXPECT_EQ(Get(kWidgets + "/a").code, 404);
}

TEST_F(DeleteTest, DryRunInBodyOrQueryKeepsIt) {  // T206, finding 5
  MustCreate("a");
  EXPECT_EQ(Delete(kWidgets + "/a", R"({"dryRun":["All"]})").json["status"], "Success");
  EXPECT_EQ(Delete(kWidgets + "/a?dryRun=All").code, 200);
  EXPECT_EQ(Get(kWidgets + "/a").code, 200);
  EXPECT_EQ(Delete(kWidgets + "/a", R"({"dryRun":["Some"]})").code, 422);
}

TEST_F(DeleteTest, PreconditionsAreKept) {  // T216
  const Json object = MustCreate("a");
  const Reply uid = Delete(kWidgets + "/a", R"({"preconditions":{"uid":"x"}})");
  EXPECT_EQ(uid.code, 409);
  EXPECT_NE(uid.message().find("the UID in the precondition (x) does not match the UID in record"),
            std::string::npos)
      << uid.text;
  EXPECT_EQ(Delete(kWidgets + "/a", R"({"preconditions":{"resourceVersion":"1"}})").code, 409);
  const Json right = {{"preconditions", {{"uid", object["metadata"]["uid"]}}}};
  EXPECT_EQ(Delete(kWidgets + "/a", right.dump()).code, 200);
}

TEST_F(DeleteTest, BadOptionsAreRefused) {  // T217
  MustCreate("a");
  const Reply policy = Delete(kWidgets + "/a", R"({"propagationPolicy":"Nope"})");
  EXPECT_EQ(policy.code, 422);
  EXPECT_EQ(policy.json["details"]["kind"], "DeleteOptions");
  EXPECT_EQ(Delete(kWidgets + "/a?propagationPolicy=Nope").code, 422);
  EXPECT_EQ(
      Delete(kWidgets + "/a", R"({"propagationPolicy":"Orphan","orphanDependents":true})").code,
      422);
  EXPECT_EQ(Delete(kWidgets + "/a", "[]").code, 400);
  EXPECT_EQ(Delete(kWidgets + "/a", "{").code, 400);
  EXPECT_EQ(Get(kWidgets + "/a").code, 200);
}

// Goal: a deletion that asks for something else than a plain one, in words that are not understood,
// deletes nothing. Method: every kind of such a body and query, on an object and its collection.
TEST_F(DeleteTest, SaysNoToWhatItDoesNotUnderstand) {
  MustCreate("a");
  const std::vector<std::pair<std::string, int>> bodies = {
      {R"({"dryRun":"All"})", 400},
      {R"({"dryRun":{"All":true}})", 400},
      {R"({"dryRun":[true]})", 400},
      {R"({"dryRun":true})", 400},
      {R"({"dryRun":[""]})", 422},
      {R"({"dryRun":["all"]})", 422},
      {R"({"dryRun":["All"],"dryRun":[]})", 400},
      {R"({"dryrun":["All"]})", 400},
      {R"({"preconditions":"x"})", 400},
      {R"({"preconditions":[]})", 400},
      {R"({"preconditions":{"uid":5}})", 400},
      {R"({"preconditions":{"uid":""}})", 409},
      {R"({"preconditions":{"resourceVersion":5}})", 400},
      {R"({"preconditions":{"resourceVersion":"x"}})", 400},
      {R"({"preconditions":{"resourceVersion":""}})", 409},
      {R"({"preconditions":{"name":"b"}})", 400},
      {R"({"propagationPolicy":5})", 400},
      {R"({"propagationPolicy":""})", 422},
      {R"({"propagationPolicy":"background"})", 422},
      {R"({"orphanDependents":"true"})", 400},
      {R"({"gracePeriodSeconds":"5"})", 400},
      {R"({"gracePeriodSeconds":0.5})", 400},
      {R"({"kind":"Foo"})", 400},
      {R"({"kind":"Foo","apiVersion":"v1"})", 400},
      {R"({"kind":["DeleteOptions"]})", 400},
      {R"({"kind":"DeleteOptions","apiVersion":"v9"})", 400},
      {R"({"kind":"DeleteOptions","apiVersion":1})", 400},
      {R"({"spec":{}})", 400}};
  for (const auto& [body, code] : bodies) {
    for (const std::string& target : {kWidgets + "/a", kWidgets}) {
      const Reply reply = Delete(target, body);
      EXPECT_EQ(reply.code, code) << target << " " << body << " " << reply.text;
      EXPECT_TRUE(IsStatus(reply)) << reply.text;
    }
  }
  for (const char* query :
       {"dryrun=All", "dry_run=All", "DryRun=All", "propagationpolicy=Orphan", "uid=x",
        "labelselector=app%3Dx", "gracePeriodSeconds=x", "preconditions=x"}) {
    for (const std::string& target : {kWidgets + "/a", kWidgets}) {
      const Reply reply = Delete(target + "?" + query);
      EXPECT_EQ(reply.code, 400) << target << " " << query << " " << reply.text;
    }
  }
  // Of one object there is nothing to select.
  EXPECT_EQ(Delete(kWidgets + "/a?labelSelector=app%3Dx").code, 400);
  EXPECT_EQ(Get(kWidgets + "/a").code, 200);
}

TEST_F(DeleteTest, TakesTheOptionsThatClientsSend) {
  for (const char* body :
       {R"({"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0})",
        R"({"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","preconditions":null})",
        R"({"kind":"DeleteOptions","apiVersion":"test.dev/v1","dryRun":[]})",
        R"({"propagationPolicy":"Background","preconditions":{"uid":null}})"}) {
    MustCreate("a");
    EXPECT_EQ(Delete(kWidgets + "/a?pretty=true&timeout=30s&gracePeriodSeconds=30", body).code, 200)
        << body;
  }
}

TEST_F(DeleteTest, AMisspelledDryRunOfAWriteIsRefused) {
  Json body = MustCreate("a");
  for (const char* name : {"dryrun", "dry_run", "dry-run", "DryRun"}) {
    const std::string query = fmt::format("?{}=All", name);
    EXPECT_EQ(Post(kWidgets + query, Widget("b")).code, 400) << name;
    EXPECT_EQ(Put(kWidgets + "/a" + query, body).code, 400) << name;
    const Reply patch = Patch(kWidgets + "/a" + query, {{"spec", {{"cpus", 2}}}});
    EXPECT_EQ(patch.code, 400) << name;
    EXPECT_EQ(patch.message(),
              fmt::format("{}: unknown query parameter: did you mean dryRun?", name));
  }
  EXPECT_EQ(Get(kWidgets + "/a").json, body);
  EXPECT_EQ(Get(kWidgets + "/b").code, 404);
}

TEST_F(DeleteTest, NamespacesHaveNoCollectionToDelete) {
  const Reply reply = Delete(kNamespaces);
  EXPECT_EQ(reply.code, 405) << reply.text;
  EXPECT_EQ(reply.message(),
            "deletecollection is not supported on resources of kind \"namespaces\"");
  EXPECT_EQ(Get(kNamespaces).json["items"].size(), 3u);
  for (const Json& resource : Get("/api/v1").json["resources"]) {
    const Json& verbs = resource["verbs"];
    const bool has = std::find(verbs.begin(), verbs.end(), "deletecollection") != verbs.end();
    if (resource["name"] == "namespaces" || resource["name"] == "configmaps") {
      EXPECT_EQ(has, resource["name"] == "configmaps") << resource;
    }
  }
}

TEST_F(DeleteTest, CollectionsBySelector) {  // T218
  for (const char* name : {"a", "b", "c"}) MustCreate(name);
  for (const char* name : {"a", "b"}) {
    ASSERT_EQ(Patch(kWidgets + "/" + name, {{"metadata", {{"labels", {{"app", "x"}}}}}}).code, 200);
  }
  const Reply reply = Delete(kWidgets + "?labelSelector=app%3Dx");
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.json["kind"], "WidgetList");
  EXPECT_EQ(reply.json["items"].size(), 2u);
  EXPECT_EQ(Get(kWidgets).json["items"].size(), 1u);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
