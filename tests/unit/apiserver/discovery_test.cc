#include "controller/apiserver/discovery/discovery.h"

#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class DiscoveryTest : public ApiTest {
 protected:
  static Json Find(const Json& list, const std::string& name) {
    for (const Json& item : list) {
      if (item["name"] == name) return item;
    }
    return nullptr;
  }
};

TEST_F(DiscoveryTest, CoreAndGroups) {  // T007 T014 T015
  EXPECT_EQ(Get("/api").json["versions"], Json({"v1"}));
  const Json groups = Get("/apis").json;
  EXPECT_EQ(groups["kind"], "APIGroupList");
  std::set<std::string> names;
  for (const Json& group : groups["groups"]) names.insert(group["name"]);
  EXPECT_TRUE(names.contains("forkplane.dev"));
  EXPECT_TRUE(names.contains("apiextensions.k8s.io"));
  EXPECT_TRUE(names.contains("test.dev"));
  const Json group = Get("/apis/forkplane.dev").json;
  EXPECT_EQ(group["kind"], "APIGroup");
  EXPECT_EQ(group["preferredVersion"]["groupVersion"], "forkplane.dev/v1alpha1");
  EXPECT_EQ(Get("/apis/nope").code, 404);
  EXPECT_EQ(Get("/apis/forkplane.dev/v9").code, 404);
  EXPECT_EQ(Get("/apis/").json, groups);  // a trailing slash is no other place
}

TEST_F(DiscoveryTest, OurSixKindsWithTheirSubresources) {  // T008 T009 T016
  const Json resources = Get("/apis/forkplane.dev/v1alpha1").json["resources"];
  for (const char* name :
       {"virtualmachines", "snapshots", "forks", "forksets", "networks", "hosts"}) {
    const Json resource = Find(resources, name);
    ASSERT_FALSE(resource.is_null()) << name;
    EXPECT_EQ(resource["verbs"].size(), 8u);
    EXPECT_FALSE(resource["singularName"].get<std::string>().empty());
    EXPECT_FALSE(Find(resources, std::string(name) + "/status").is_null()) << name;
  }
  const Json scale = Find(resources, "forksets/scale");
  ASSERT_FALSE(scale.is_null());
  EXPECT_EQ(scale["group"], "autoscaling");
  EXPECT_EQ(scale["kind"], "Scale");
  EXPECT_EQ(Find(resources, "virtualmachines")["shortNames"][0], "vm");
  EXPECT_EQ(Find(resources, "hosts")["namespaced"], false);
}

TEST_F(DiscoveryTest, CoreHasServicesForClusterInfo) {  // T029
  const Json resources = Get("/api/v1").json["resources"];
  for (const char* name : {"namespaces", "events", "configmaps", "secrets", "services"}) {
    EXPECT_FALSE(Find(resources, name).is_null()) << name;
  }
}

TEST_F(DiscoveryTest, WhatIsListedCanBeListed) {  // T010
  const Json groups = Get("/apis").json["groups"];
  std::vector<std::string> roots = {"/api/v1"};
  for (const Json& group : groups) {
    for (const Json& version : group["versions"]) {
      roots.push_back("/apis/" + version["groupVersion"].get<std::string>());
    }
  }
  for (const std::string& root : roots) {
    const Json resources = Get(root).json["resources"];
    for (const Json& resource : resources) {
      const std::string name = resource["name"];
      if (name.find('/') != std::string::npos) continue;
      // Reviews are created and kept nowhere.
      if (resource["verbs"] == Json({"create"})) continue;
      EXPECT_EQ(Get(root + "/" + name).code, 200) << root << "/" << name;
    }
  }
}

TEST_F(DiscoveryTest, UnknownPathsAre404) {  // T030 T031
  EXPECT_EQ(Get("/nope").code, 404);
  EXPECT_EQ(Get("/swagger-2.0.0.pb-v1").code, 404);
  EXPECT_EQ(Get("/apis/test.dev/v1/nope").code, 404);
  EXPECT_EQ(Get("/debug/ledger").code, 404);
  EXPECT_EQ(Get("/").code, 200);
  EXPECT_EQ(Post("/apis", Json::object()).code, 405);
}

TEST(VersionBefore, StableThenBetaThenAlphaThenTheRest) {
  std::vector<std::string> versions = {"v1alpha1", "foo10", "v1",      "v11alpha2", "v2beta1",
                                       "foo1",     "v10",   "v3beta1", "v2",        "v1beta2"};
  std::sort(versions.begin(), versions.end(), VersionBefore);
  EXPECT_EQ(versions, (std::vector<std::string>{"v10", "v2", "v1", "v3beta1", "v2beta1", "v1beta2",
                                                "v11alpha2", "v1alpha1", "foo1", "foo10"}));
}

}  // namespace
}  // namespace forkplane::apiserver::testing
