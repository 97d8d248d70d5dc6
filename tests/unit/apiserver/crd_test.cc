#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class CrdTest : public ApiTest {
 protected:
  static Json GadgetCrd() {
    Json crd = WidgetCrd();
    crd["metadata"]["name"] = "gadgets.user.dev";
    crd["spec"]["group"] = "user.dev";
    crd["spec"]["names"] = {{"plural", "gadgets"}, {"kind", "Gadget"}};
    return crd;
  }
  static bool Established(const Json& crd) {
    for (const Json& condition :
         crd.value("status", Json::object()).value("conditions", Json::array())) {
      if (condition["type"] == "Established") return condition["status"] == "True";
    }
    return false;
  }
  const std::string gadgets_ = "/apis/user.dev/v1/namespaces/default/gadgets";
};

TEST_F(CrdTest, AUsersDefinitionIsServed) {  // T139
  StartBackground();
  const Reply created = Post(kCrds, GadgetCrd());
  ASSERT_EQ(created.code, 201) << created.text;
  ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", Established));
  const Json status = Get(kCrds + "/gadgets.user.dev").json["status"];
  EXPECT_EQ(status["acceptedNames"]["kind"], "Gadget");
  EXPECT_EQ(status["acceptedNames"]["singular"], "gadget");
  EXPECT_EQ(status["storedVersions"], Json({"v1"}));
  EXPECT_EQ(Get("/apis/user.dev/v1").json["resources"][0]["kind"], "Gadget");
  const Json gadget = {{"apiVersion", "user.dev/v1"},
                       {"kind", "Gadget"},
                       {"metadata", {{"name", "g"}}},
                       {"spec", {{"cpus", 1}}}};
  EXPECT_EQ(Post(gadgets_, gadget).code, 201);
}

TEST_F(CrdTest, AChangedDefinitionChangesWhatIsServed) {
  StartBackground();
  ASSERT_EQ(Post(kCrds, GadgetCrd()).code, 201);
  ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", Established));
  Json crd = Get(kCrds + "/gadgets.user.dev").json;
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
     ["colour"] = {{"type", "string"}};
  const std::uint64_t before = registry_->version();
  ASSERT_EQ(Put(kCrds + "/gadgets.user.dev", crd).code, 200);
  for (int i = 0; i < 1000 && registry_->version() == before; ++i) {
    // A watch on something that happens after the change is the clock here.
    ASSERT_EQ(Patch(kCrds + "/gadgets.user.dev",
                    {{"metadata", {{"annotations", {{"n", std::to_string(i)}}}}}})
                  .code,
              200);
  }
  const Json gadget = {{"apiVersion", "user.dev/v1"},
                       {"kind", "Gadget"},
                       {"metadata", {{"name", "g"}}},
                       {"spec", {{"cpus", 1}, {"colour", "red"}}}};
  EXPECT_EQ(Post(gadgets_, gadget).json["spec"]["colour"], "red");
}

TEST_F(CrdTest, DeletingItDeletesItsObjects) {
  StartBackground();
  ASSERT_EQ(Post(kCrds, GadgetCrd()).code, 201);
  ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", Established));
  const Json gadget = {{"apiVersion", "user.dev/v1"},
                       {"kind", "Gadget"},
                       {"metadata", {{"name", "g"}, {"finalizers", {"test.dev/hold"}}}},
                       {"spec", {{"cpus", 1}}}};
  ASSERT_EQ(Post(gadgets_, gadget).code, 201);
  EXPECT_TRUE(Delete(kCrds + "/gadgets.user.dev").json["metadata"].contains("deletionTimestamp"));
  ASSERT_TRUE(AwaitObject(gadgets_, "g", [](const Json& object) {
    return object["metadata"].contains("deletionTimestamp");
  }));
  EXPECT_EQ(Get(kCrds + "/gadgets.user.dev").code, 200);
  ASSERT_EQ(Patch(gadgets_ + "/g", {{"metadata", {{"finalizers", nullptr}}}}).code, 200);
  EXPECT_TRUE(AwaitGone(kCrds, "gadgets.user.dev"));
}

TEST_F(CrdTest, OursAreThereAndStay) {
  StartBackground();
  ASSERT_TRUE(AwaitObject(kCrds, "virtualmachines.forkplane.dev", Established));
  EXPECT_EQ(Get(kCrds).json["items"].size(), 6u);
  const Reply refused = Delete(kCrds + "/virtualmachines.forkplane.dev");
  EXPECT_EQ(refused.code, 403);
  EXPECT_EQ(Get(kCrds + "/virtualmachines.forkplane.dev").code, 200);
}

TEST_F(CrdTest, ABadDefinitionIsRefusedWithItsCauses) {
  const Json bad = {{"apiVersion", "apiextensions.k8s.io/v1"},
                    {"kind", "CustomResourceDefinition"},
                    {"metadata", {{"name", "x.y.z"}}},
                    {"spec",
                     {{"group", "user.dev"},
                      {"scope", "Namespaced"},
                      {"names", {{"plural", "xs"}, {"kind", "X"}}},
                      {"versions", {{{"name", "v1"}, {"served", true}, {"storage", true}}}}}}};
  const Reply reply = Post(kCrds, bad);
  EXPECT_EQ(reply.code, 422) << reply.text;
  EXPECT_NE(reply.message().find("must be spec.names.plural+\".\"+spec.group"), std::string::npos)
      << reply.text;
}

}  // namespace
}  // namespace forkplane::apiserver::testing
