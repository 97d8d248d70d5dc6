#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

constexpr const char* kProto = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

// Reads fields of a protocol buffer message: number and, for length-delimited ones, bytes.
std::vector<std::pair<int, std::string>> Fields(std::string_view message) {
  std::vector<std::pair<int, std::string>> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0; at < message.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.size()) {
    const std::uint64_t tag = varint();
    EXPECT_EQ(tag & 7, 2u) << "only messages and strings are written";
    const std::uint64_t size = varint();
    if (size > message.size() - at) {
      ADD_FAILURE() << "a field is longer than its message";
      break;
    }
    fields.emplace_back(static_cast<int>(tag >> 3), std::string(message.substr(at, size)));
    at += size;
  }
  return fields;
}

std::vector<std::string> Values(std::string_view message, int number) {
  std::vector<std::string> values;
  for (auto& [field, bytes] : Fields(message)) {
    if (field == number) values.push_back(bytes);
  }
  return values;
}

// The value of the entry of that name in repeated NamedX{name=1, value=2}.
std::string Named(const std::vector<std::string>& entries, const std::string& name) {
  for (const std::string& entry : entries) {
    if (Values(entry, 1) == std::vector<std::string>{name}) return Values(entry, 2).at(0);
  }
  return {};
}

class OpenApiTest : public ApiTest {};

TEST_F(OpenApiTest, TheIndexLeadsToImmutableDocuments) {  // T020 T021 T022
  const Json index = Get("/openapi/v3").json;
  ASSERT_TRUE(index["paths"].contains("apis/forkplane.dev/v1alpha1"));
  ASSERT_TRUE(index["paths"].contains("api/v1"));
  const std::string url = index["paths"]["apis/test.dev/v1"]["serverRelativeURL"];
  const Reply document = Get(url);
  EXPECT_EQ(document.code, 200);
  EXPECT_EQ(document.Header("Cache-Control"), "public, immutable");
  EXPECT_EQ(document.json["openapi"], "3.0.0");
  const Reply cached = Get(url, {{"if-none-match", document.Header("ETag")}});
  EXPECT_EQ(cached.code, 304);
  const Reply stale = Get("/openapi/v3/apis/test.dev/v1?hash=00");
  EXPECT_EQ(stale.code, 301);
  EXPECT_EQ(stale.Header("Location"), url);
  EXPECT_EQ(Get("/openapi/v3/apis/nope/v1").code, 404);
  EXPECT_EQ(Get("/openapi/v4").code, 404);
}

TEST_F(OpenApiTest, V3TellsKubectlWhatPatchTakes) {
  const Json document = Get("/openapi/v3/apis/test.dev/v1").json;
  const Json& patch =
      document["paths"]["/apis/test.dev/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
  EXPECT_EQ(patch["x-kubernetes-action"], "patch");
  EXPECT_EQ(patch["x-kubernetes-group-version-kind"],
            (Json{{"group", "test.dev"}, {"version", "v1"}, {"kind", "Widget"}}));
  std::set<std::string> names;
  for (const Json& parameter : patch["parameters"]) names.insert(parameter["name"]);
  EXPECT_EQ(names, (std::set<std::string>{"dryRun", "fieldManager", "fieldValidation"}));
  const Json& schema = document["components"]["schemas"]["dev.test.v1.Widget"];
  EXPECT_EQ(schema["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
  EXPECT_EQ(schema["properties"]["spec"]["properties"]["cpus"]["description"], "How many.");
  EXPECT_TRUE(document["components"]["schemas"].contains(
      "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
}

// Every $ref of a document leads somewhere.
void CheckRefs(const Json& value, const Json& root) {
  if (value.is_object() && value.contains("$ref") && value["$ref"].is_string()) {
    const std::string ref = value["$ref"];
    EXPECT_TRUE(root.contains(Json::json_pointer(ref.substr(1)))) << ref;
  }
  if (!value.is_structured()) return;
  for (const Json& child : value) CheckRefs(child, root);
}

TEST_F(OpenApiTest, AllReferencesResolve) {
  const Json index = Get("/openapi/v3").json;
  for (const auto& [path, entry] : index["paths"].items()) {
    const Json document = Get(entry["serverRelativeURL"]).json;
    CheckRefs(document, document);
  }
  const Json v2 = Get("/openapi/v2").json;
  EXPECT_EQ(v2["swagger"], "2.0");  // T024
  CheckRefs(v2, v2);
}

TEST_F(OpenApiTest, V2AsGnosticProtobuf) {  // T023
  const Reply reply = Get("/openapi/v2", {{"accept", kProto}});
  EXPECT_EQ(reply.code, 200);
  EXPECT_EQ(reply.content_type, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  EXPECT_EQ(Values(reply.text, 1), std::vector<std::string>{"2.0"});
  const std::string paths = Values(reply.text, 8).at(0);
  const std::string item =
      Named(Values(paths, 2), "/apis/test.dev/v1/namespaces/{namespace}/widgets/{name}");
  ASSERT_FALSE(item.empty());
  const std::string patch = Values(item, 8).at(0);
  EXPECT_EQ(Named(Values(patch, 13), "x-kubernetes-action"), "\x12\x07\"patch\"");
  // dryRun, fieldManager, fieldValidation; kubectl 1.20 looks for the first by exactly this way.
  ASSERT_EQ(Values(patch, 8).size(), 3u);
  const std::string parameter = Values(Values(patch, 8)[0], 1).at(0);
  const std::string query = Values(Values(parameter, 2).at(0), 3).at(0);
  EXPECT_EQ(Values(query, 4), std::vector<std::string>{"dryRun"});
  const std::string definitions = Values(reply.text, 9).at(0);
  const std::string widget = Named(Values(definitions, 1), "dev.test.v1.Widget");
  ASSERT_FALSE(widget.empty());
  const std::string spec = Named(Values(Values(widget, 25).at(0), 1), "spec");
  EXPECT_EQ(Values(spec, 19), std::vector<std::string>{"cpus"});
  const std::string cpus = Named(Values(Values(spec, 25).at(0), 1), "cpus");
  EXPECT_EQ(Values(cpus, 4), std::vector<std::string>{"How many."});
}

TEST_F(OpenApiTest, ANewTypeIsANewDocument) {
  const std::string before = Get("/openapi/v2").Header("ETag");
  Json crd = WidgetCrd();
  crd["metadata"]["name"] = "gadgets.test.dev";
  crd["spec"]["names"] = {{"plural", "gadgets"}, {"kind", "Gadget"}};
  auto types = crd::ParseCrd(crd);
  ASSERT_TRUE(types.ok()) << types.error().message;
  ASSERT_TRUE(registry_->Add(std::move(types).value()).ok());
  EXPECT_NE(Get("/openapi/v2").Header("ETag"), before);
  EXPECT_TRUE(Get("/openapi/v3/apis/test.dev/v1")
                  .json["components"]["schemas"]
                  .contains("dev.test.v1.Gadget"));
}

}  // namespace
}  // namespace forkplane::apiserver::testing
