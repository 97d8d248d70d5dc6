#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class GcTest : public ApiTest {
 protected:
  GcTest() { StartBackground(); }

  static Json OwnerOf(const Json& owner, bool block = true) {
    return {{"apiVersion", owner["apiVersion"]},
            {"kind", owner["kind"]},
            {"name", owner["metadata"]["name"]},
            {"uid", owner["metadata"]["uid"]},
            {"blockOwnerDeletion", block}};
  }
  Json MakeOwned(const std::string& name, const Json& references) {
    Json body = Widget(name);
    body["metadata"]["ownerReferences"] = references;
    const Reply reply = Post(kWidgets, body);
    EXPECT_EQ(reply.code, 201) << reply.text;
    return reply.json;
  }
  void Remove(const std::string& name, const std::string& policy) {
    const Reply reply = Delete(kWidgets + "/" + name, Json{{"propagationPolicy", policy}}.dump());
    ASSERT_EQ(reply.code, 200) << reply.text;
  }
};

TEST_F(GcTest, BackgroundTakesTheDependents) {  // T211
  const Json owner = MustCreate("owner");
  const Json child = MakeOwned("child", Json::array({OwnerOf(owner)}));
  MakeOwned("grandchild", Json::array({OwnerOf(child)}));
  Remove("owner", "Background");
  EXPECT_EQ(Get(kWidgets + "/owner").code, 404);
  EXPECT_TRUE(AwaitGone(kWidgets, "child"));
  EXPECT_TRUE(AwaitGone(kWidgets, "grandchild"));
}

TEST_F(GcTest, ForegroundWaitsForWhatBlocks) {  // T209
  const Json owner = MustCreate("owner");
  Json held = Widget("child");
  held["metadata"]["ownerReferences"] = Json::array({OwnerOf(owner)});
  held["metadata"]["finalizers"] = Json::array({"test.dev/hold"});
  ASSERT_EQ(Post(kWidgets, held).code, 201);
  Remove("owner", "Foreground");
  ASSERT_TRUE(AwaitObject(kWidgets, "child", [](const Json& object) {
    return object["metadata"].contains("deletionTimestamp");
  }));
  EXPECT_EQ(Get(kWidgets + "/owner").code, 200);
  ASSERT_EQ(Patch(kWidgets + "/child", {{"metadata", {{"finalizers", nullptr}}}}).code, 200);
  EXPECT_TRUE(AwaitGone(kWidgets, "owner"));
}

TEST_F(GcTest, OrphansStay) {  // T210
  const Json owner = MustCreate("owner");
  MakeOwned("child", Json::array({OwnerOf(owner)}));
  Remove("owner", "Orphan");
  EXPECT_TRUE(AwaitGone(kWidgets, "owner"));
  const Reply child = Get(kWidgets + "/child");
  ASSERT_EQ(child.code, 200);
  EXPECT_TRUE(child.json["metadata"].value("ownerReferences", Json::array()).empty());
}

TEST_F(GcTest, AnotherLiveOwnerKeepsIt) {  // T212
  const Json one = MustCreate("one");
  const Json two = MustCreate("two");
  MakeOwned("child", Json::array({OwnerOf(one), OwnerOf(two)}));
  Remove("one", "Background");
  ASSERT_TRUE(AwaitObject(kWidgets, "child", [](const Json& object) {
    return object["metadata"]["ownerReferences"].size() == 1;
  }));
  EXPECT_EQ(Get(kWidgets + "/child").json["metadata"]["ownerReferences"][0]["name"], "two");
}

TEST_F(GcTest, ADanglingOwnerIsNoOwner) {  // T213
  Json ghost = OwnerOf(MustCreate("ghost"));
  ghost["uid"] = "00000000-0000-4000-8000-000000000000";  // of a former life
  MakeOwned("child", Json::array({ghost}));
  EXPECT_TRUE(AwaitGone(kWidgets, "child"));
  EXPECT_EQ(Get(kWidgets + "/ghost").code, 200);
}

TEST_F(GcTest, AnOwnerOfAnUnknownKindIsLeftAlone) {
  const Json unknown = {{"apiVersion", "elsewhere.dev/v1"},
                        {"kind", "Thing"},
                        {"name", "t"},
                        {"uid", "00000000-0000-4000-8000-000000000001"}};
  MakeOwned("child", Json::array({unknown}));
  // The collector has looked when a later dangling one is gone.
  Json ghost = unknown;
  ghost["apiVersion"] = "test.dev/v1";
  ghost["kind"] = "Widget";
  MakeOwned("later", Json::array({ghost}));
  EXPECT_TRUE(AwaitGone(kWidgets, "later"));
  EXPECT_EQ(Get(kWidgets + "/child").code, 200);
}

TEST_F(GcTest, ACycleDoesNotBlock) {  // T215
  const Json a = MustCreate("a");
  const Json b = MakeOwned("b", Json::array({OwnerOf(a)}));
  ASSERT_EQ(
      Patch(kWidgets + "/a", {{"metadata", {{"ownerReferences", Json::array({OwnerOf(b)})}}}}).code,
      200);
  Remove("a", "Foreground");
  EXPECT_TRUE(AwaitGone(kWidgets, "a"));
  EXPECT_TRUE(AwaitGone(kWidgets, "b"));
}

TEST_F(GcTest, WhatHappenedBeforeTheStartIsFoundAtIt) {
  background_.reset();
  const Json owner = MustCreate("owner");
  MakeOwned("child", Json::array({OwnerOf(owner)}));
  Remove("owner", "Background");
  StartBackground();
  EXPECT_TRUE(AwaitGone(kWidgets, "child"));
}

}  // namespace
}  // namespace forkplane::apiserver::testing
