#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class TableTest : public ApiTest {};

TEST_F(TableTest, CellsAreReadyForTheEye) {  // T033 T034
  MustCreate("a", 3);
  ASSERT_EQ(Patch(kWidgets + "/a/status",
                  {{"status",
                    {{"phase", "Up"}, {"conditions", {{{"type", "Ready"}, {"status", "True"}}}}}}})
                .code,
            200);
  MustCreate("b");
  const Reply reply = Get(kWidgets, {{"accept", kTableAccept}});
  ASSERT_EQ(reply.code, 200) << reply.text;
  const Json& table = reply.json;
  EXPECT_EQ(table["kind"], "Table");
  EXPECT_EQ(table["apiVersion"], "meta.k8s.io/v1");
  std::string columns;
  for (const Json& column : table["columnDefinitions"]) {
    columns += column["name"].get<std::string>() + std::to_string(column["priority"].get<int>());
  }
  EXPECT_EQ(columns, "Name0Phase0Cpus0Ready0Mode1Age0");
  EXPECT_EQ(table["columnDefinitions"][0]["format"], "name");
  const Json& a = table["rows"][0]["cells"];
  EXPECT_EQ(a[0], "a");
  EXPECT_EQ(a[1], "Up");
  EXPECT_EQ(a[2], 3);
  EXPECT_EQ(a[3], "True");
  EXPECT_EQ(a[4], "warm");
  EXPECT_TRUE(a[5].get<std::string>().ends_with("s")) << a[5];
  EXPECT_EQ(table["rows"][1]["cells"][1], nullptr);
  EXPECT_EQ(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
  EXPECT_EQ(table["rows"][0]["object"]["metadata"]["name"], "a");
  EXPECT_FALSE(table["rows"][0]["object"].contains("spec"));
}

TEST_F(TableTest, TheRowsObjectIsChosen) {  // T043 T064
  MustCreate("a");
  const Headers accept{{"accept", kTableAccept}};
  EXPECT_EQ(Get(kWidgets + "?includeObject=Object", accept).json["rows"][0]["object"]["kind"],
            "Widget");
  EXPECT_EQ(Get(kWidgets + "?includeObject=None", accept).json["rows"][0]["object"], nullptr);
  EXPECT_EQ(Get(kWidgets + "?includeObject=Foo", accept).code, 400);
  EXPECT_EQ(Get(kWidgets + "?includeObject=Foo").code, 200);  // not asked for a Table
  EXPECT_EQ(Get(kWidgets + "/a", accept).json["rows"].size(), 1u);
  EXPECT_EQ(Do("POST", kWidgets, Widget("b").dump(), accept).json["kind"], "Table");
}

TEST_F(TableTest, PartialMetadata) {  // T065
  MustCreate("a");
  const Headers accept{
      {"accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}};
  const Reply list = Get(kWidgets, accept);
  EXPECT_EQ(list.json["kind"], "PartialObjectMetadataList");
  EXPECT_EQ(list.json["apiVersion"], "meta.k8s.io/v1");
  EXPECT_EQ(list.json["items"][0]["kind"], "PartialObjectMetadata");
  EXPECT_FALSE(list.json["items"][0].contains("spec"));
}

TEST_F(TableTest, BuiltInColumns) {
  const Reply namespaces = Get(kNamespaces, {{"accept", kTableAccept}});
  const Json& columns = namespaces.json["columnDefinitions"];
  ASSERT_EQ(columns.size(), 3u) << namespaces.text;
  EXPECT_EQ(columns[1]["name"], "Status");
  EXPECT_EQ(namespaces.json["rows"][0]["cells"][0], "default");
  EXPECT_EQ(namespaces.json["rows"][0]["cells"][1], "Active");
  ASSERT_EQ(Post(kConfigMaps, {{"apiVersion", "v1"},
                               {"kind", "ConfigMap"},
                               {"metadata", {{"name", "m"}}},
                               {"data", {{"a", "1"}, {"b", "2"}}}})
                .code,
            201);
  const Reply maps = Get(kConfigMaps, {{"accept", kTableAccept}});
  EXPECT_EQ(maps.json["columnDefinitions"][1]["name"], "Data");
  EXPECT_EQ(maps.json["rows"][0]["cells"][1], 2);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
