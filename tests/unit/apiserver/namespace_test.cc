#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class NamespaceTest : public ApiTest {
 protected:
  void MakeNamespace(const std::string& name) {
    const Reply reply = Post(
        kNamespaces, {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}});
    ASSERT_EQ(reply.code, 201) << reply.text;
    EXPECT_EQ(reply.json["status"]["phase"], "Active");
    EXPECT_EQ(reply.json["spec"]["finalizers"], Json({"kubernetes"}));
  }
};

TEST_F(NamespaceTest, TheUsualOnesAreThere) {
  for (const char* name : {"default", "kube-system", "kube-public"}) {
    EXPECT_EQ(Get(kNamespaces + "/" + name).code, 200) << name;
  }
  const Reply reply = Delete(kNamespaces + "/default");  // T221
  EXPECT_EQ(reply.code, 403);
  EXPECT_EQ(reply.message(),
            "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

TEST_F(NamespaceTest, DeletionEmptiesItFirst) {  // T220
  StartBackground();
  MakeNamespace("t1");
  const std::string widgets = "/apis/test.dev/v1/namespaces/t1/widgets";
  Json held = Widget("held");
  held["metadata"]["finalizers"] = {"test.dev/hold"};
  ASSERT_EQ(Post(widgets, held).code, 201);
  ASSERT_EQ(Post(widgets, Widget("free")).code, 201);
  const Reply deleted = Delete(kNamespaces + "/t1");
  EXPECT_EQ(deleted.json["status"]["phase"], "Terminating");
  EXPECT_TRUE(AwaitGone(widgets, "free"));
  const Reply refused = Post(widgets, Widget("new"));
  EXPECT_EQ(refused.code, 403);
  EXPECT_NE(refused.message().find("unable to create new content in namespace t1 because it is "
                                   "being terminated"),
            std::string::npos);
  ASSERT_TRUE(AwaitObject(kNamespaces, "t1",
                          [](const Json& ns) { return ns["status"].contains("conditions"); }));
  EXPECT_EQ(Get(kNamespaces + "/t1").json["status"]["conditions"][0]["message"],
            "Some resources are remaining: widgets.test.dev has 1 resource instances");
  ASSERT_EQ(Patch(widgets + "/held", {{"metadata", {{"finalizers", nullptr}}}}).code, 200);
  EXPECT_TRUE(AwaitGone(kNamespaces, "t1"));
}

TEST_F(NamespaceTest, AnEmptyOneGoesAtOnce) {
  StartBackground();
  MakeNamespace("t2");
  ASSERT_EQ(Delete(kNamespaces + "/t2").code, 200);
  EXPECT_TRUE(AwaitGone(kNamespaces, "t2"));
}

TEST_F(NamespaceTest, EventsCanBeListedForAnObject) {  // T222
  const Json widget = MustCreate("a");
  const Json event = {{"apiVersion", "v1"},
                      {"kind", "Event"},
                      {"metadata", {{"name", "a.1"}, {"namespace", "default"}}},
                      {"involvedObject",
                       {{"kind", "Widget"},
                        {"namespace", "default"},
                        {"name", "a"},
                        {"uid", widget["metadata"]["uid"]}}},
                      {"reason", "Started"},
                      {"message", "it runs"},
                      {"type", "Normal"},
                      {"count", 1},
                      {"source", {{"component", "forkplane"}}}};
  ASSERT_EQ(Post("/api/v1/namespaces/default/events", event).code, 201);
  const Reply found =
      Get("/api/v1/namespaces/default/events?limit=500&fieldSelector=involvedObject.name%3Da,"
          "involvedObject.namespace%3Ddefault,involvedObject.kind%3DWidget,involvedObject.uid%3D" +
          widget["metadata"]["uid"].get<std::string>());
  ASSERT_EQ(found.code, 200) << found.text;
  EXPECT_EQ(found.json["items"].size(), 1u);
  const Reply other =
      Get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Db");
  EXPECT_EQ(other.json["items"].size(), 0u);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
