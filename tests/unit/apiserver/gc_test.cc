#include "controller/apiserver/loops/gc.h"

#include "tests/support/forwarding_store.h"
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

// Goal: an object outside all namespaces is never collected for an owner inside one, whether that
// is there, goes, or never was; it is told. Method: Namespaces owned by ConfigMaps; a later
// dangling dependent is the proof that the collector has looked.
TEST_F(GcTest, AClusterScopedDependentOfANamespacedOwnerIsNeverCollected) {
  const Json map = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", "m"}}}};
  const Json owner = Post(kConfigMaps, map).json;
  Json never = OwnerOf(owner);
  never["uid"] = "00000000-0000-4000-8000-000000000002";
  for (const auto& [name, reference] :
       {std::pair{"one", OwnerOf(owner)}, std::pair{"two", never}}) {
    const Json ns = {{"apiVersion", "v1"},
                     {"kind", "Namespace"},
                     {"metadata", {{"name", name}, {"ownerReferences", {reference}}}}};
    ASSERT_EQ(Post(kNamespaces, ns).code, 201);
  }
  ASSERT_EQ(Delete(kConfigMaps + "/m").code, 200);
  PassTheLoops();
  for (const char* name : {"one", "two"}) {
    const Reply ns = Get(kNamespaces + "/" + name);
    EXPECT_EQ(ns.code, 200);
    EXPECT_FALSE(ns.json["metadata"].contains("deletionTimestamp"));
    EXPECT_EQ(Told(name), (std::vector<std::string>{"OwnerRefInvalidNamespace"}));
  }
  EXPECT_NE(metrics_.Serialize().find("forkplane_gc_invalid_references_total 2"),
            std::string::npos);
}

TEST_F(GcTest, AReferenceIntoAnotherNamespaceIsTold) {
  const Json ns = {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", "far"}}}};
  ASSERT_EQ(Post(kNamespaces, ns).code, 201);
  const Reply owner = Post("/apis/test.dev/v1/namespaces/far/widgets", Widget("owner"));
  ASSERT_EQ(owner.code, 201);
  const Json near = MustCreate("near");
  // Kept by an owner that is there; the other reference goes.
  MakeOwned("child", Json::array({OwnerOf(owner.json), OwnerOf(near)}));
  ASSERT_TRUE(AwaitObject(kWidgets, "child", [](const Json& object) {
    return object["metadata"]["ownerReferences"].size() == 1;
  }));
  EXPECT_EQ(Told("child"), (std::vector<std::string>{"OwnerRefInvalidNamespace"}));
}

// Goal: an owner that is deleted in the foreground ends although its dependent stays with another
// owner. Method: two owners, one of them deleted so.
TEST_F(GcTest, OneOfTwoOwnersDeletedInTheForegroundEnds) {
  const Json one = MustCreate("one");
  const Json two = MustCreate("two");
  MakeOwned("child", Json::array({OwnerOf(one), OwnerOf(two)}));
  Remove("one", "Foreground");
  EXPECT_TRUE(AwaitGone(kWidgets, "one"));
  const Json references = Get(kWidgets + "/child").json["metadata"]["ownerReferences"];
  ASSERT_EQ(references.size(), 1u);
  EXPECT_EQ(references[0]["name"], "two");
}

// What may not be deleted is left, and is not tried for ever.
TEST_F(GcTest, AProtectedNamespaceWithoutItsOwnerStays) {
  const Json gone = {{"apiVersion", "apiextensions.k8s.io/v1"},
                     {"kind", "CustomResourceDefinition"},
                     {"name", "gone.user.dev"},
                     {"uid", "00000000-0000-4000-8000-000000000003"}};
  ASSERT_EQ(Patch(kNamespaces + "/default", {{"metadata", {{"ownerReferences", {gone}}}}}).code,
            200);
  PassTheLoops();
  EXPECT_EQ(Get(kNamespaces + "/default").code, 200);
  EXPECT_NE(metrics_.Serialize().find("forkplane_background_failures_total 0"), std::string::npos);
}

// The collector alone, on a store in which something happens just before a deletion.
class GcJudgementTest : public ApiTest {
 protected:
  class MeddlingStore final : public forkplane::testing::ForwardingStore {
   public:
    MeddlingStore(store::ObjectStore& inner, std::function<void()> before_delete)
        : ForwardingStore(inner), before_delete_(std::move(before_delete)) {}
    using ForwardingStore::Delete;
    Result<store::DeleteResult> Delete(const store::ObjectKey& key,
                                       const store::DeleteOptions& options) override {
      before_delete_();
      return ForwardingStore::Delete(key, options);
    }

   private:
    std::function<void()> before_delete_;
  };

  store::ObjectPtr Stored(const std::string& name) {
    return *store_->Get({kResource, "default", name});
  }
  static Json ReferenceTo(const Json& owner) {
    return {{"apiVersion", "test.dev/v1"},
            {"kind", "Widget"},
            {"name", owner["metadata"]["name"]},
            {"uid", owner["metadata"]["uid"]}};
  }
  const store::GroupResource kResource{"test.dev", "widgets"};
};

// Goal: the collector deletes only what it judged. Method: the dependent is adopted by a living
// owner after the judgement and before the deletion.
TEST_F(GcJudgementTest, DeletesOnlyTheRevisionThatWasJudged) {
  const Json dead = MustCreate("dead");
  const Json alive = MustCreate("alive");
  Json body = Widget("child");
  body["metadata"]["ownerReferences"] = {ReferenceTo(dead)};
  ASSERT_EQ(Post(kWidgets, body).code, 201);
  ASSERT_EQ(Delete(kWidgets + "/dead").code, 200);
  MeddlingStore store(*store_, [&] {
    ASSERT_EQ(Patch(kWidgets + "/child",
                    {{"metadata", {{"ownerReferences", {ReferenceTo(dead), ReferenceTo(alive)}}}}})
                  .code,
              200);
  });
  GarbageCollector gc(store, *registry_, metrics_);
  gc.Changed(kResource, Stored("alive"));
  gc.Changed(kResource, Stored("child"));
  EXPECT_TRUE(gc.Collect(*store_->CurrentRevision()).ok());
  const Reply child = Get(kWidgets + "/child");
  ASSERT_EQ(child.code, 200);
  // Judged again, with what is true now.
  EXPECT_EQ(child.json["metadata"]["ownerReferences"], Json::array({ReferenceTo(alive)}));
}

// Goal: orphaning misses nobody. Method: the owner's deletion is seen before its child's creation,
// as it may come from two watches.
TEST_F(GcJudgementTest, AnOwnerLetsGoOnlyWhenAllItsDependentsWereSeen) {
  const Json owner = MustCreate("owner");
  Json body = Widget("child");
  body["metadata"]["ownerReferences"] = {ReferenceTo(owner)};
  ASSERT_EQ(Post(kWidgets, body).code, 201);
  const store::Revision before = *store_->CurrentRevision();
  ASSERT_EQ(Delete(kWidgets + "/owner", R"({"propagationPolicy":"Orphan"})").code, 200);
  GarbageCollector gc(*store_, *registry_, metrics_);
  gc.Changed(kResource, Stored("owner"));
  EXPECT_TRUE(gc.Collect(before - 1).ok());
  EXPECT_EQ(Get(kWidgets + "/owner").code, 200);
  EXPECT_FALSE(gc.idle());
  gc.Changed(kResource, Stored("child"));
  EXPECT_TRUE(gc.Collect(*store_->CurrentRevision()).ok());
  EXPECT_EQ(Get(kWidgets + "/owner").code, 404);
  EXPECT_EQ(Get(kWidgets + "/child").json["metadata"].value("ownerReferences", Json::array()),
            Json::array());
}

// Goal: a cycle ends although the collector has not heard of its deletion when it judges. Method:
// the graph is given the state before the deletion, then what follows.
TEST_F(GcJudgementTest, ACycleEndsAlsoForAGraphThatLags) {
  const Json a = MustCreate("a");
  Json body = Widget("b");
  const auto blocking = [](const Json& owner) {
    Json reference = ReferenceTo(owner);
    reference["blockOwnerDeletion"] = true;
    return reference;
  };
  body["metadata"]["ownerReferences"] = {blocking(a)};
  const Json b = Post(kWidgets, body).json;
  ASSERT_EQ(Patch(kWidgets + "/a", {{"metadata", {{"ownerReferences", {blocking(b)}}}}}).code, 200);
  GarbageCollector gc(*store_, *registry_, metrics_);
  std::map<std::string, store::ObjectPtr> known = {{"a", Stored("a")}, {"b", Stored("b")}};
  for (const auto& [name, object] : known) gc.Changed(kResource, object);
  ASSERT_EQ(Delete(kWidgets + "/a", R"({"propagationPolicy":"Foreground"})").code, 200);
  for (int round = 0; round < 10 && !known.empty(); ++round) {
    EXPECT_TRUE(gc.Collect(*store_->CurrentRevision()).ok());
    for (auto it = known.begin(); it != known.end();) {
      const store::ObjectPtr now = Stored(it->first);
      if (now) {
        gc.Changed(kResource, now);
        ++it;
      } else {
        gc.Gone(it->second);
        it = known.erase(it);
      }
    }
  }
  EXPECT_TRUE(known.empty());
}

}  // namespace
}  // namespace forkplane::apiserver::testing
