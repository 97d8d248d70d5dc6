#include <latch>

#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class UpdateTest : public ApiTest {
 protected:
  std::string Revision(const std::string& name) {
    return Get(kWidgets + "/" + name).json["metadata"]["resourceVersion"];
  }
};

TEST_F(UpdateTest, PutNeedsTheResourceVersion) {  // T103 T104 T105 T107
  Json object = MustCreate("a");
  object["spec"]["cpus"] = 4;
  const Reply put = Put(kWidgets + "/a", object);
  ASSERT_EQ(put.code, 200) << put.text;
  EXPECT_EQ(put.json["metadata"]["generation"], 2);
  const Reply stale = Put(kWidgets + "/a", object);
  EXPECT_EQ(stale.code, 409);
  EXPECT_EQ(
      stale.message(),
      "Operation cannot be fulfilled on widgets.test.dev \"a\": the object has been modified; "
      "please apply your changes to the latest version and try again");
  EXPECT_EQ(stale.json["details"]["kind"], "widgets");
  object["metadata"].erase("resourceVersion");
  const Reply unversioned = Put(kWidgets + "/a", object);
  EXPECT_EQ(unversioned.code, 422);
  EXPECT_NE(unversioned.message().find("must be specified for an update"), std::string::npos);
  EXPECT_EQ(Put(kWidgets + "/b", object).message(),
            "the name of the object (a) does not match the name on the URL (b)");
  object["metadata"]["name"] = "b";
  EXPECT_EQ(Put(kWidgets + "/b", object).code, 404);
}

TEST_F(UpdateTest, ConfigMapsTakeAPutWithoutVersion) {  // T106
  const Json map = {{"apiVersion", "v1"},
                    {"kind", "ConfigMap"},
                    {"metadata", {{"name", "m"}}},
                    {"data", {{"k", "1"}}}};
  ASSERT_EQ(Post(kConfigMaps, map).code, 201);
  Json changed = map;
  changed["data"]["k"] = "2";
  EXPECT_EQ(Put(kConfigMaps + "/m", changed).code, 200);
  EXPECT_EQ(Get(kConfigMaps + "/m").json["data"]["k"], "2");
}

TEST_F(UpdateTest, AnEqualPutChangesNothing) {  // T108
  const Json object = MustCreate("a");
  const Reply same = Put(kWidgets + "/a", object);
  EXPECT_EQ(same.code, 200);
  EXPECT_EQ(same.json["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"]);
}

TEST_F(UpdateTest, MergePatchChangesAndIsIdempotent) {  // T109 T110 T120
  MustCreate("a");
  const Json patch = {{"metadata", {{"labels", {{"l", "1"}}}}}, {"spec", {{"cpus", 3}}}};
  const Reply first = Patch(kWidgets + "/a", patch);
  ASSERT_EQ(first.code, 200) << first.text;
  EXPECT_EQ(first.json["metadata"]["generation"], 2);
  EXPECT_EQ(first.json["metadata"]["labels"]["l"], "1");
  const Reply second = Patch(kWidgets + "/a", patch);
  EXPECT_EQ(second.json, first.json);
  const Reply label = Patch(kWidgets + "/a", {{"metadata", {{"labels", {{"l", nullptr}}}}}});
  EXPECT_EQ(label.json["metadata"]["generation"], 2);
  EXPECT_FALSE(label.json["metadata"].value("labels", Json::object()).contains("l"));
}

TEST_F(UpdateTest, ANullBringsTheDefaultBack) {  // T099
  MustCreate("a");
  EXPECT_EQ(Patch(kWidgets + "/a", {{"spec", {{"mode", "cold"}}}}).json["spec"]["mode"], "cold");
  EXPECT_EQ(Patch(kWidgets + "/a", {{"spec", {{"mode", nullptr}}}}).json["spec"]["mode"], "warm");
}

TEST_F(UpdateTest, APatchWithAStaleVersionConflicts) {  // T111
  const Json object = MustCreate("a");
  ASSERT_EQ(Patch(kWidgets + "/a", {{"spec", {{"cpus", 2}}}}).code, 200);
  const Reply stale = Patch(
      kWidgets + "/a", {{"metadata", {{"resourceVersion", object["metadata"]["resourceVersion"]}}},
                        {"spec", {{"cpus", 9}}}});
  EXPECT_EQ(stale.code, 409);
  EXPECT_EQ(Get(kWidgets + "/a").json["spec"]["cpus"], 2);
}

TEST_F(UpdateTest, APatchMayNotBreakTheObject) {  // T118 T119
  MustCreate("a");
  EXPECT_EQ(Patch(kWidgets + "/a", {{"spec", {{"cpus", 99}}}}).code, 422);
  EXPECT_EQ(Patch(kWidgets + "/a", {{"metadata", {{"name", "b"}}}}).code, 400);
  const Reply uid = Patch(kWidgets + "/a", {{"metadata", {{"uid", "zz"}}}});
  EXPECT_TRUE(uid.code == 422 || uid.code == 409) << uid.text;
  EXPECT_EQ(Patch(kWidgets + "/a", {{"kind", "Other"}}).code, 422);
  EXPECT_EQ(Patch(kWidgets + "/nope", Json::object()).code, 404);
  EXPECT_EQ(Patch(kWidgets + "/a", Json::array()).code, 400);
  EXPECT_EQ(Get(kWidgets + "/a").json["spec"]["cpus"], 1);
}

TEST_F(UpdateTest, StrictPatchesNameUnknownFields) {
  MustCreate("a");
  const Reply strict = Patch(kWidgets + "/a?fieldValidation=Strict", {{"spec", {{"cpuz", 2}}}});
  EXPECT_EQ(strict.code, 400);
  EXPECT_NE(strict.message().find("unknown field \"spec.cpuz\""), std::string::npos);
}

TEST_F(UpdateTest, StatusHasItsOwnDoor) {  // T123 T124 T125 T126
  MustCreate("a");
  const Reply main = Patch(kWidgets + "/a", {{"status", {{"phase", "HACK"}}}});
  EXPECT_FALSE(main.json.contains("status"));
  const Reply status = Patch(kWidgets + "/a/status", {{"status", {{"phase", "Up"}}},
                                                      {"spec", {{"cpus", 50}}},
                                                      {"metadata", {{"labels", {{"x", "y"}}}}}});
  ASSERT_EQ(status.code, 200) << status.text;
  EXPECT_EQ(status.json["status"]["phase"], "Up");
  EXPECT_EQ(status.json["spec"]["cpus"], 1);
  EXPECT_FALSE(status.json["metadata"].contains("labels"));
  EXPECT_EQ(status.json["metadata"]["generation"], 1);
  EXPECT_EQ(Get(kWidgets + "/a/status").json, status.json);
  EXPECT_EQ(Post(kWidgets + "/a/status", Widget("a")).code, 405);
  EXPECT_EQ(Delete(kWidgets + "/a/status").code, 405);
  Json stale = status.json;
  stale["metadata"]["resourceVersion"] = "1";
  EXPECT_EQ(Put(kWidgets + "/a/status", stale).code, 409);
  EXPECT_EQ(Get(kWidgets + "/a/nope").code, 404);
}

TEST_F(UpdateTest, DryRunPatchKeepsNothing) {
  MustCreate("a");
  const Reply dry = Patch(kWidgets + "/a?dryRun=All", {{"spec", {{"cpus", 9}}}});
  EXPECT_EQ(dry.code, 200);
  EXPECT_EQ(dry.json["spec"]["cpus"], 9);
  EXPECT_EQ(Get(kWidgets + "/a").json["spec"]["cpus"], 1);
}

TEST_F(UpdateTest, LeasesAreMadeByPut) {
  const std::string path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
  const Json lease = {{"apiVersion", "coordination.k8s.io/v1"},
                      {"kind", "Lease"},
                      {"metadata", {{"name", "l"}}},
                      {"spec", {{"holderIdentity", "me"}}}};
  EXPECT_EQ(Put(path, lease).code, 201);
  EXPECT_EQ(Get(path).json["spec"]["holderIdentity"], "me");
}

// 25 clients patch one object at once without a resourceVersion: each is answered 200 at its first
// try, and no label of anybody is lost. (Seen before: 17 to 20 of them answered 409.)
TEST_F(UpdateTest, ConcurrentMergePatchesAllSucceed) {  // T131
  MustCreate("a");
  constexpr int kClients = 25, kEach = 8;
  std::latch start(kClients);
  Mutex mu;
  std::vector<std::string> refusals;
  {
    std::vector<std::jthread> threads;
    threads.reserve(kClients);
    for (int t = 0; t < kClients; ++t) {
      threads.emplace_back([&, t] {
        start.arrive_and_wait();
        for (int i = 0; i < kEach; ++i) {
          const Reply reply = Patch(
              kWidgets + "/a", {{"metadata", {{"labels", {{fmt::format("t{}-{}", t, i), "x"}}}}}});
          if (reply.code == 200) continue;
          MutexLock lock(mu);
          refusals.push_back(reply.text);
        }
      });
    }
  }
  EXPECT_TRUE(refusals.empty()) << refusals.size() << " refused, the first: " << refusals.front();
  EXPECT_EQ(Get(kWidgets + "/a").json["metadata"]["labels"].size(), std::size_t{kClients} * kEach);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
