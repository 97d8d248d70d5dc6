#include "crd/embedded.h"
#include "crd/yaml.h"
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
  static Json Gadget(const std::string& name) {
    return {{"apiVersion", "user.dev/v1"},
            {"kind", "Gadget"},
            {"metadata", {{"name", name}}},
            {"spec", {{"cpus", 1}}}};
  }
  // The definition is served and has an object "g" that a finalizer holds.
  void MakeHeldGadget() {
    ASSERT_EQ(Post(kCrds, GadgetCrd()).code, 201);
    ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", Established));
    Json held = Gadget("g");
    held["metadata"]["finalizers"] = {"test.dev/hold"};
    ASSERT_EQ(Post(gadgets_, held).code, 201);
  }
  static Json ConditionOf(const Json& crd, const std::string& type) {
    for (const Json& condition :
         crd.value("status", Json::object()).value("conditions", Json::array())) {
      if (condition["type"] == type) return condition;
    }
    return Json::object();
  }
  // The store again, from a log in which networks.forkplane.dev has the finalizer of a user's
  // definition and a deletionTimestamp.
  store::ObjectPtr StoreTerminatingNetworkCrd();

  const std::string ours_ = "virtualmachines.forkplane.dev";
  const std::string gadgets_ = "/apis/user.dev/v1/namespaces/default/gadgets";
};

store::ObjectPtr CrdTest::StoreTerminatingNetworkCrd() {
  std::string text;
  for (const crd::EmbeddedFile& file : crd::EmbeddedCrds()) {
    Json crd = *crd::ParseOneYaml(file.text);
    if (crd["metadata"]["name"] != "networks.forkplane.dev") continue;
    crd["metadata"]["uid"] = "00000000-0000-4000-8000-00000000000a";
    crd["metadata"]["generation"] = 2;
    crd["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z";
    crd["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:01Z";
    crd["metadata"]["finalizers"] = {"customresourcecleanup.apiextensions.k8s.io"};
    crd["metadata"]["resourceVersion"] = "1";
    text = crd.dump();
  }
  auto log = store::NewMemoryLog(rng_);
  const store::ObjectKey key{
      {"apiextensions.k8s.io", "customresourcedefinitions"}, {}, "networks.forkplane.dev"};
  CHECK(log->Append(std::vector{store::LogRecord{.revision = 1, .key = key, .text = text}}).ok());
  OpenStore(std::move(log));
  return *store_->Get(key);
}

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
  ASSERT_TRUE(AwaitObject(kCrds, ours_, Established));
  EXPECT_EQ(Get(kCrds).json["items"].size(), 6u);
  for (const char* options : {"", R"({"propagationPolicy":"Foreground"})",
                              R"({"propagationPolicy":"Orphan"})", R"({"dryRun":["All"]})"}) {
    const Reply refused = Delete(kCrds + "/" + ours_, options);
    EXPECT_EQ(refused.code, 403) << refused.text;
    EXPECT_EQ(refused.message(),
              "customresourcedefinitions.apiextensions.k8s.io "
              "\"virtualmachines.forkplane.dev\" is forbidden: this kind is "
              "part of the server");
  }
  EXPECT_EQ(Delete(kCrds).code, 403);
  EXPECT_EQ(Get(kCrds).json["items"].size(), 6u);
}

// Goal: nothing that can be written to one of our definitions takes the objects of its kind.
// Method: every way that leads to a deletion, each followed by an event that the loops have passed.
TEST_F(CrdTest, OursAreNeverRetiredWhoeverAsks) {
  StartBackground();
  ASSERT_TRUE(AwaitObject(kCrds, ours_, Established));
  const std::string networks = "/apis/forkplane.dev/v1alpha1/networks";
  const Json network = {{"apiVersion", "forkplane.dev/v1alpha1"},
                        {"kind", "Network"},
                        {"metadata", {{"name", "n"}}},
                        {"spec", {{"cidr", "10.0.0.0/24"}}}};
  ASSERT_EQ(Post(networks, network).code, 201);
  const std::string target = kCrds + "/networks.forkplane.dev";
  const Json finalizers = {"customresourcecleanup.apiextensions.k8s.io"};
  const Json gone = {{{"apiVersion", "v1"},
                      {"kind", "ConfigMap"},
                      {"name", "gone"},
                      {"uid", "00000000-0000-4000-8000-000000000000"}}};
  EXPECT_EQ(Patch(target, {{"metadata", {{"finalizers", finalizers}}}}).code, 403);
  EXPECT_EQ(Patch(target, {{"metadata", {{"ownerReferences", gone}}}}).code, 403);
  Json whole = Get(target).json;
  whole["metadata"]["finalizers"] = finalizers;
  EXPECT_EQ(Put(target, whole).code, 403);
  const Json past = {{"metadata", {{"deletionTimestamp", "2020-01-01T00:00:00Z"}}}};
  EXPECT_EQ(Patch(target, past).code, 200);
  EXPECT_EQ(Patch(target + "/status", past).code, 200);
  EXPECT_EQ(Delete(kCrds, R"({"propagationPolicy":"Foreground"})").code, 403);
  EXPECT_EQ(Delete(target).code, 403);
  PassTheLoops();
  EXPECT_EQ(Get(networks + "/n").code, 200);
  EXPECT_FALSE(Get(target).json["metadata"].contains("deletionTimestamp"));
}

// A store that an earlier version wrote may hold one that is being deleted.
TEST_F(CrdTest, OneOfOursThatIsBeingDeletedIsMadeAnewAndItsObjectsStay) {
  const store::ObjectPtr stored = StoreTerminatingNetworkCrd();
  const Json network = {{"apiVersion", "forkplane.dev/v1alpha1"},
                        {"kind", "Network"},
                        {"metadata", {{"name", "n"}}},
                        {"spec", {{"cidr", "10.0.0.0/24"}}}};
  ASSERT_EQ(Post("/apis/forkplane.dev/v1alpha1/networks", network).code, 201);
  StartBackground();
  ASSERT_TRUE(AwaitObject(kCrds, "networks.forkplane.dev", [&](const Json& crd) {
    return crd["metadata"]["uid"] != stored->meta.uid && Established(crd);
  }));
  EXPECT_EQ(Get("/apis/forkplane.dev/v1alpha1/networks/n").code, 200);
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

// Goal: from its deletion on, a definition takes no new objects and says what it waits for. Method:
// an object whose finalizer holds it.
TEST_F(CrdTest, CreatesAreRefusedWhileItIsTerminating) {
  StartBackground();
  MakeHeldGadget();
  const Reply deleted = Delete(kCrds + "/gadgets.user.dev");
  EXPECT_EQ(ConditionOf(deleted.json, "Terminating")["reason"], "InstanceDeletionPending");
  const Reply refused = Post(gadgets_, Gadget("late"));
  EXPECT_EQ(refused.code, 405) << refused.text;
  EXPECT_EQ(refused.message(),
            "create not allowed while custom resource definition is terminating");
  EXPECT_EQ(Post(gadgets_ + "?dryRun=All", Gadget("late")).code, 405);
  EXPECT_EQ(Get(gadgets_ + "/late").code, 404);
  ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", [](const Json& crd) {
    return ConditionOf(crd, "Terminating")["reason"] == "InstanceDeletionInProgress";
  }));
  EXPECT_EQ(Delete(kCrds + "/gadgets.user.dev").code, 200);  // again
  EXPECT_EQ(Get(gadgets_ + "/g").code, 200);
}

// Goal: nobody takes a definition away from under its objects. Method: its finalizer is removed
// before the deletion, and during it.
TEST_F(CrdTest, ItGoesAfterItsObjectsWhoeverTakesItsFinalizer) {
  StartBackground();
  MakeHeldGadget();
  const std::string target = kCrds + "/gadgets.user.dev";
  background_.reset();  // or it puts the finalizer back
  ASSERT_EQ(Patch(target, {{"metadata", {{"finalizers", nullptr}}}}).code, 200);
  EXPECT_TRUE(Delete(target).json["metadata"].contains("deletionTimestamp"));
  const Reply refused = Patch(target, {{"metadata", {{"finalizers", nullptr}}}});
  EXPECT_EQ(refused.code, 409) << refused.text;
  EXPECT_NE(refused.message().find("1 objects of it are still there and go first"),
            std::string::npos)
      << refused.text;
  EXPECT_EQ(Get(gadgets_ + "/g").code, 200);
}

// Goal: a definition that is being deleted waits for its objects after a restart too, and what was
// deleted does not come back with the next one of its name. Method: server and registry made anew
// on the same store, as after a kill.
TEST_F(CrdTest, AfterARestartItStillWaitsAndNothingComesBack) {
  StartBackground();
  MakeHeldGadget();
  ASSERT_EQ(Post(gadgets_, Gadget("free")).code, 201);
  background_.reset();
  ASSERT_EQ(Delete(kCrds + "/gadgets.user.dev").code, 200);
  Restart();
  StartBackground();
  PassTheLoops();
  EXPECT_EQ(Get(kCrds + "/gadgets.user.dev").code, 200);
  EXPECT_EQ(Get(gadgets_ + "/free").code, 404);
  ASSERT_EQ(Get(gadgets_ + "/g").code, 200);
  EXPECT_EQ(Post(gadgets_, Gadget("late")).code, 405);
  ASSERT_EQ(Patch(gadgets_ + "/g", {{"metadata", {{"finalizers", nullptr}}}}).code, 200);
  ASSERT_TRUE(AwaitGone(kCrds, "gadgets.user.dev"));

  ASSERT_EQ(Post(kCrds, GadgetCrd()).code, 201);
  ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", Established));
  EXPECT_EQ(Get("/apis/user.dev/v1/gadgets").json["items"], Json::array());
  EXPECT_EQ(Post(gadgets_, Gadget("g")).code, 201);
}

// An object belongs to the definition of its time: one that is made while the definition goes, or
// behind the next one's back, is not taken.
TEST_F(CrdTest, ATypeWhoseDefinitionIsGoneTakesNothing) {
  StartBackground();
  ASSERT_EQ(Post(kCrds, GadgetCrd()).code, 201);
  ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", Established));
  background_.reset();  // the type stays registered
  const std::string target = kCrds + "/gadgets.user.dev";
  ASSERT_EQ(Delete(target).code, 200);
  ASSERT_EQ(Patch(target, {{"metadata", {{"finalizers", nullptr}}}}).code, 200);
  ASSERT_EQ(Get(target).code, 404);
  EXPECT_EQ(Post(gadgets_, Gadget("late")).code, 404);
  ASSERT_EQ(Post(kCrds, GadgetCrd()).code, 201);
  EXPECT_EQ(Post(gadgets_, Gadget("late")).code, 404);
}

// Of two definitions that want the same kind, a restart does not change which one has it.
TEST_F(CrdTest, ARestartLeavesNamesWithWhoHadThem) {
  StartBackground();
  ASSERT_EQ(Post(kCrds, GadgetCrd()).code, 201);
  ASSERT_TRUE(AwaitObject(kCrds, "gadgets.user.dev", Established));
  ASSERT_EQ(Post(gadgets_, Gadget("g")).code, 201);
  Json other = GadgetCrd();
  other["metadata"]["name"] = "apps.user.dev";  // before it in the order of names
  other["spec"]["names"] = {{"plural", "apps"}, {"kind", "Gadget"}};
  ASSERT_EQ(Post(kCrds, other).code, 201);
  ASSERT_TRUE(AwaitObject(kCrds, "apps.user.dev", [](const Json& crd) {
    return ConditionOf(crd, "NamesAccepted").value("status", "") == "False";
  }));
  Restart();
  StartBackground();
  PassTheLoops();
  EXPECT_EQ(Get(gadgets_ + "/g").code, 200);
  EXPECT_FALSE(Established(Get(kCrds + "/apps.user.dev").json));
}

}  // namespace
}  // namespace forkplane::apiserver::testing
