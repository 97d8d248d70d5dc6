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
