// Goal: our answers have the shape and the words of a kube-apiserver 1.32.
// Method: the requests that recorded its replies (below FORKPLANE_TESTDATA) are made here, and what
// is not fixed (uids, revisions, times, managedFields, which we do not keep) is taken away on both
// sides.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "crd/yaml.h"
#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

const std::string kMachines = "/apis/h2.example.com/v1alpha1/namespaces/default/virtualmachines";

void Normalise(Json& value) {
  static const std::set<std::string> kVolatile = {"uid", "resourceVersion", "creationTimestamp",
                                                  "storageVersionHash"};
  if (value.is_object()) {
    value.erase("managedFields");
    for (auto& [key, child] : value.items()) {
      if (kVolatile.contains(key)) {
        child = "*";
      } else {
        Normalise(child);
      }
    }
    value.erase("storageVersionHash");
  } else if (value.is_array()) {
    for (Json& child : value) Normalise(child);
  }
}

class GoldenTest : public ApiTest {
 protected:
  void SetUp() override {
    const char* root = std::getenv("FORKPLANE_TESTDATA");
    if (root == nullptr) GTEST_SKIP() << "FORKPLANE_TESTDATA does not name the recorded replies";
    root_ = std::string(root) + "/kubernetes/";
    Result<Json> crd = crd::ParseOneYaml(Read("manifests/crd-vm.yaml"));
    ASSERT_TRUE(crd.ok()) << crd.error().message;
    auto types = crd::ParseCrd(*crd);
    ASSERT_TRUE(types.ok()) << types.error().message;
    ASSERT_TRUE(registry_->Add(std::move(types).value()).ok());
  }

  std::string Read(const std::string& name) {
    std::ifstream file(root_ + name);
    EXPECT_TRUE(file.good()) << name;
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  static Json Machine(const std::string& name) {
    return {{"apiVersion", "h2.example.com/v1alpha1"},
            {"kind", "VirtualMachine"},
            {"metadata", {{"name", name}}},
            {"spec", {{"image", "img"}, {"vcpus", 1}}}};
  }

  void Compare(const std::string& name, const Reply& reply) {
    Json expected = Json::parse(Read("1.32/" + name + ".body"));
    Json actual = reply.json;
    Normalise(expected);
    Normalise(actual);
    EXPECT_EQ(actual, expected) << name << "\n" << Json::diff(expected, actual).dump(1);
  }

  std::string root_;
};

TEST_F(GoldenTest, Refusals) {
  ASSERT_EQ(Post(kMachines, Machine("s1")).code, 201);
  Compare("err-404-name", Get(kMachines + "/nope"));
  Compare("err-409-exists", Post(kMachines, Machine("s1")));
  Compare("create-dryrun-bad", Post(kMachines + "?dryRun=Some", Machine("dry")));
  Compare("fieldvalidation-bad", Post(kMachines + "?fieldValidation=Nope", Machine("s1")));
  Compare("err-400-nsmismatch", [&] {
    Json body = Machine("s1");
    body["metadata"]["namespace"] = "other";
    return Post(kMachines, body);
  }());
  Compare("err-400-kind", [&] {
    Json body = Machine("s1");
    body["kind"] = "Other";
    return Post(kMachines, body);
  }());
  Compare("unknown-field-strict", [&] {
    Json body = Machine("u1");
    body["spec"]["bogus"] = 1;
    return Post(kMachines + "?dryRun=All&fieldValidation=Strict", body);
  }());
  Compare("err-400-namemismatch", Put(kMachines + "/s1", Machine("zz")));
  Compare("err-409-conflict", [&] {
    Json stale = Get(kMachines + "/s1").json;
    EXPECT_EQ(Patch(kMachines + "/s1", {{"spec", {{"vcpus", 2}}}}).code, 200);
    return Put(kMachines + "/s1", stale);
  }());
  Compare("patch-404", Patch(kMachines + "/nope", Json::object()));
  Compare("status-post-405", Post(kMachines + "/s1/status", Machine("s1")));
  Compare("delete-badpolicy", Delete(kMachines + "/s1", R"({"propagationPolicy":"Nope"})"));
  Compare("delete-404", Delete(kMachines + "/ssa1"));
  Compare("list-rvm-without-rv", Get(kMachines + "?resourceVersionMatch=Exact"));
  Compare("list-fieldsel-bad", Get(kMachines + "?fieldSelector=spec.nope%3Dx"));
}

TEST_F(GoldenTest, Objects) {
  Compare("create-201", Post(kMachines, Machine("s1")));
  Compare("create-dryrun", Post(kMachines + "?dryRun=All", Machine("dry")));
  Compare("scale-get", Get(kMachines + "/s1/scale"));
  ASSERT_EQ(Post(kMachines, Machine("ssa1")).code, 201);
  Compare("delete-ok-background",
          Delete(kMachines + "/ssa1", R"({"propagationPolicy":"Background"})"));
}

// The words are upstream's; why it is so stands in a cause, of which upstream has none.
TEST_F(GoldenTest, JsonPatches) {
  ASSERT_EQ(Post(kMachines, Machine("s1")).code, 201);
  const auto patch = [&](const Json& operations) {
    return Do("PATCH", kMachines + "/s1", operations.dump(),
              {{"content-type", "application/json-patch+json"}});
  };
  for (const auto& [name, operation] :
       {std::pair{"patch-json-testfail",
                  Json{{"op", "test"}, {"path", "/spec/vcpus"}, {"value", 9}}},
        {"patch-json-badpath", Json{{"op", "remove"}, {"path", "/spec/nope"}}}}) {
    Reply reply = patch(Json::array({operation}));
    EXPECT_EQ(reply.json["details"]["causes"].size(), 1U) << reply.text;
    reply.json["details"].erase("causes");
    Compare(name, reply);
  }
}

TEST_F(GoldenTest, TableColumns) {
  const Json expected = Json::parse(Read("1.32/list-table.body"));
  const Reply table = Get(kMachines, {{"accept", kTableAccept}});
  EXPECT_EQ(table.json["columnDefinitions"], expected["columnDefinitions"]);
}

TEST_F(GoldenTest, DiscoveryOfAResource) {
  const Json expected = Json::parse(Read("1.32/disc-gv.body"))["resources"];
  const Json actual = Get("/apis/h2.example.com/v1alpha1").json["resources"];
  for (std::size_t i = 0; i < 3; ++i) {
    Json item = expected[i];
    item.erase("storageVersionHash");
    EXPECT_NE(std::find(actual.begin(), actual.end(), item), actual.end()) << item << actual;
  }
}

}  // namespace
}  // namespace forkplane::apiserver::testing
