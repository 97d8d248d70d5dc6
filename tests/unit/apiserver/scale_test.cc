#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class ScaleTest : public ApiTest {};

TEST_F(ScaleTest, IsAViewOnTheObject) {  // T068
  const Json object = MustCreate("a");
  ASSERT_EQ(
      Patch(kWidgets + "/a/status", {{"status", {{"replicas", 2}, {"selector", "x=y"}}}}).code,
      200);
  const Reply scale = Get(kWidgets + "/a/scale");
  ASSERT_EQ(scale.code, 200) << scale.text;
  EXPECT_EQ(scale.json["kind"], "Scale");
  EXPECT_EQ(scale.json["apiVersion"], "autoscaling/v1");
  EXPECT_EQ(scale.json["spec"]["replicas"], 1);
  EXPECT_EQ(scale.json["status"], (Json{{"replicas", 2}, {"selector", "x=y"}}));
  EXPECT_EQ(scale.json["metadata"]["uid"], object["metadata"]["uid"]);
  EXPECT_FALSE(scale.json["metadata"].contains("generation"));
}

TEST_F(ScaleTest, PatchAndPutChangeTheReplicas) {  // T127
  MustCreate("a");
  EXPECT_EQ(Patch(kWidgets + "/a/scale", {{"spec", {{"replicas", 5}}}}).json["spec"]["replicas"],
            5);
  const Json object = Get(kWidgets + "/a").json;
  EXPECT_EQ(object["spec"]["replicas"], 5);
  EXPECT_EQ(object["metadata"]["generation"], 2);
  // kubectl scale --current-replicas PUTs without a Content-Type.
  const Reply put =
      Do("PUT", kWidgets + "/a/scale", R"({"metadata":{"name":"a"},"spec":{"replicas":3}})",
         {{"content-type", ""}});
  EXPECT_EQ(put.code, 200) << put.text;
  EXPECT_EQ(Get(kWidgets + "/a").json["spec"]["replicas"], 3);
}

TEST_F(ScaleTest, NonsenseIsRefused) {  // T129
  MustCreate("a");
  const Reply negative = Patch(kWidgets + "/a/scale", {{"spec", {{"replicas", -5}}}});
  EXPECT_EQ(negative.code, 422);
  EXPECT_NE(negative.message().find("should be a non-negative integer"), std::string::npos);
  EXPECT_EQ(Patch(kWidgets + "/a/scale", {{"spec", {{"replicas", "x"}}}}).code, 400);
  EXPECT_EQ(Put(kWidgets + "/a/scale", {{"metadata", {{"name", "a"}, {"resourceVersion", "1"}}},
                                        {"spec", {{"replicas", 2}}}})
                .code,
            409);
  EXPECT_EQ(Get(kWidgets + "/nope/scale").code, 404);
  EXPECT_EQ(Delete(kWidgets + "/a/scale").code, 405);
  EXPECT_EQ(Get(kConfigMaps + "/a/scale").code, 404);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
