#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class CreateTest : public ApiTest {
 protected:
  // The causes of a refusal as "field reason".
  static std::set<std::string> Causes(const Reply& reply) {
    std::set<std::string> causes;
    if (!reply.json.is_object() || !reply.json.contains("details")) return causes;
    for (const Json& cause : reply.json["details"].value("causes", Json::array())) {
      causes.insert(cause.value("field", "") + " " + cause.value("reason", ""));
    }
    return causes;
  }
};

TEST_F(CreateTest, MakesAnObjectWithSystemMetadata) {  // T069 T071 T098
  Json body = Widget("a");
  body["metadata"]["uid"] = "mine";
  body["metadata"]["generation"] = 7;
  body["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z";
  body["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z";
  body["status"]["phase"] = "Mine";
  const Reply reply = Post(kWidgets, body);
  ASSERT_EQ(reply.code, 201) << reply.text;
  const Json& metadata = reply.json["metadata"];
  EXPECT_EQ(metadata["namespace"], "default");
  EXPECT_EQ(metadata["generation"], 1);
  EXPECT_NE(metadata["uid"], "mine");
  EXPECT_NE(metadata["creationTimestamp"], "2001-01-01T00:00:00Z");
  EXPECT_FALSE(metadata.contains("deletionTimestamp"));
  EXPECT_FALSE(reply.json.contains("status"));
  EXPECT_EQ(reply.json["spec"]["mode"], "warm");
  EXPECT_EQ(Get(kWidgets + "/a").json, reply.json);
}

TEST_F(CreateTest, TwiceIsAlreadyExists) {  // T070 W15
  MustCreate("a");
  const Reply again = Post(kWidgets, Widget("a"));
  EXPECT_EQ(again.code, 409);
  EXPECT_EQ(again.reason(), "AlreadyExists");
  EXPECT_EQ(again.message(), "widgets.test.dev \"a\" already exists");
  EXPECT_EQ(again.json["details"],
            (Json{{"name", "a"}, {"group", "test.dev"}, {"kind", "widgets"}}));
}

TEST_F(CreateTest, NamesAreCheckedAndMade) {  // T073 T075 T076
  Json generated = Widget("x");
  generated["metadata"] = {{"generateName", "gen-"}};
  const std::string name = Post(kWidgets, generated).json["metadata"]["name"];
  EXPECT_TRUE(name.starts_with("gen-"));
  EXPECT_EQ(name.size(), 9u);

  Json nameless = Widget("x");
  nameless["metadata"] = Json::object();
  const Reply none = Post(kWidgets, nameless);
  EXPECT_EQ(none.code, 422);
  EXPECT_TRUE(Causes(none).contains("metadata.name FieldValueRequired")) << none.text;

  const Reply bad = Post(kWidgets, Widget("Bad_Name"));
  EXPECT_EQ(bad.code, 422);
  EXPECT_NE(bad.message().find("a lowercase RFC 1123 subdomain"), std::string::npos) << bad.text;
}

TEST_F(CreateTest, WhatTheUrlSaysMustBeWhatTheBodySays) {  // T080 T081
  Json elsewhere = Widget("a");
  elsewhere["metadata"]["namespace"] = "other";
  const Reply ns = Post(kWidgets, elsewhere);
  EXPECT_EQ(ns.code, 400);
  EXPECT_EQ(ns.message(),
            "the namespace of the provided object does not match the namespace sent on the "
            "request");
  Json version = Widget("a");
  version["apiVersion"] = "test.dev/v9";
  EXPECT_EQ(Post(kWidgets, version).message(),
            "the API version in the data (test.dev/v9) does not match the expected API version "
            "(test.dev/v1)");
  Json kind = Widget("a");
  kind["kind"] = "Wrong";
  const Reply wrong = Post(kWidgets, kind);
  EXPECT_EQ(wrong.code, 422);
  EXPECT_EQ(wrong.json["details"]["causes"][0]["message"],
            "Invalid value: \"Wrong\": must be Widget");
}

TEST_F(CreateTest, BodiesThatCannotBeReadAre4xx) {  // T082 T083 T086
  EXPECT_EQ(Do("POST", kWidgets, "").code, 400);
  EXPECT_EQ(Do("POST", kWidgets, "{\"a\":").code, 400);
  EXPECT_EQ(Do("POST", kWidgets, "[]").code, 400);
  EXPECT_EQ(Do("POST", kWidgets, "x", {{"content-type", "text/plain"}}).code, 415);
  EXPECT_EQ(
      Do("POST", kWidgets, "k8s", {{"content-type", "application/vnd.kubernetes.protobuf"}}).code,
      415);
}

TEST_F(CreateTest, YamlIsUnderstood) {  // T084
  const Reply reply = Do("POST", kWidgets,
                         "apiVersion: test.dev/v1\nkind: Widget\nmetadata: {name: yam}\nspec: "
                         "{cpus: 2}\n",
                         {{"content-type", "application/yaml"}});
  EXPECT_EQ(reply.code, 201) << reply.text;
  EXPECT_EQ(reply.json["spec"]["cpus"], 2);
}

// Goal: a body that asks for 2 GB of memory is answered 400, in a short text.
TEST_F(CreateTest, AnAliasBombIsABadRequest) {
  std::string bomb = "a: &a " + std::string(100'000, 'x') + "\nb:\n";
  for (int i = 0; i < 20'000; ++i) bomb += "- *a\n";
  const Reply reply = Do("POST", kWidgets, bomb, {{"content-type", "application/yaml"}});
  EXPECT_EQ(reply.code, 400);
  EXPECT_TRUE(reply.message().starts_with("line 3")) << reply.message();
}

// Goal: an answer does not repeat a megabyte of what it refuses.
TEST_F(CreateTest, AnAnswerToABigMistakeIsSmall) {
  Json named = Widget(std::string(1'000'000, '/'));
  EXPECT_LE(Post(kWidgets, named).text.size(), 64'000U);
  Json labelled = Widget("a");
  for (int i = 0; i < 20'000; ++i) labelled["metadata"]["labels"]["/" + std::to_string(i)] = "/";
  const Reply reply = Post(kWidgets, labelled);
  EXPECT_EQ(reply.code, 422);
  EXPECT_LE(reply.text.size(), 500'000U);
  EXPECT_LE(Do("POST", kWidgets, "{\"a\": t" + std::string(1'000'000, 'x')).text.size(), 2'000U);
}

TEST_F(CreateTest, EveryOffenceIsACause) {  // T088 T090 T091
  Json missing = Widget("a");
  missing["spec"] = Json::object();
  EXPECT_EQ(Causes(Post(kWidgets, missing)), std::set<std::string>{"spec.cpus FieldValueRequired"});
  EXPECT_EQ(Post(kWidgets, missing).message(),
            "Widget.test.dev \"a\" is invalid: spec.cpus: Required value");

  Json many = Widget("a", 99);
  many["spec"]["mode"] = "hot";
  many["spec"]["name"] = "UPPER";
  many["spec"]["tags"] = {"a", "a"};
  many["spec"]["nics"] = {{{"name", "n"}}, {{"name", "n"}}};
  const Reply reply = Post(kWidgets, many);
  EXPECT_EQ(reply.code, 422);
  EXPECT_EQ(Causes(reply), (std::set<std::string>{
                               "spec.cpus FieldValueInvalid", "spec.mode FieldValueNotSupported",
                               "spec.name FieldValueInvalid", "spec.tags[1] FieldValueDuplicate",
                               "spec.nics[1] FieldValueDuplicate"}));
  EXPECT_EQ(Get(kWidgets + "/a").code, 404);
}

TEST_F(CreateTest, AWrongTypeIsNamed) {  // T089
  Json body = Widget("a");
  body["spec"]["cpus"] = "two";
  const Reply reply = Post(kWidgets, body);
  EXPECT_EQ(reply.code, 422);
  EXPECT_NE(reply.message().find("spec.cpus in body must be of type integer: \"string\""),
            std::string::npos)
      << reply.text;
}

TEST_F(CreateTest, UnknownFieldsByFieldValidation) {  // T092 T093 T094 T096
  Json body = Widget("a");
  body["spec"]["cpuz"] = 1;
  const Reply strict = Post(kWidgets + "?fieldValidation=Strict", body);
  EXPECT_EQ(strict.code, 400);
  EXPECT_EQ(
      strict.message(),
      "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown "
      "field \"spec.cpuz\"");
  const Reply warn = Post(kWidgets, body);
  EXPECT_EQ(warn.code, 201);
  EXPECT_EQ(warn.Header("Warning"), "299 - \"unknown field \\\"spec.cpuz\\\"\"");
  EXPECT_FALSE(warn.json["spec"].contains("cpuz"));
  body["metadata"]["name"] = "b";
  const Reply ignore = Post(kWidgets + "?fieldValidation=Ignore", body);
  EXPECT_EQ(ignore.code, 201);
  EXPECT_EQ(ignore.Header("Warning"), "");

  Json meta = Widget("c");
  meta["metadata"]["colour"] = "red";
  EXPECT_NE(Post(kWidgets + "?fieldValidation=Strict", meta)
                .message()
                .find("unknown field \"metadata.colour\""),
            std::string::npos);
  EXPECT_EQ(Post(kWidgets + "?fieldValidation=Nope", meta).code, 422);
}

TEST_F(CreateTest, DuplicateKeysCountWhenStrict) {  // T095
  const std::string body =
      R"({"apiVersion":"test.dev/v1","kind":"Widget","metadata":{"name":"d"},"spec":{"cpus":1,"cpus":2}})";
  const Reply strict = Do("POST", kWidgets + "?fieldValidation=Strict", body);
  EXPECT_EQ(strict.code, 400);
  EXPECT_NE(strict.message().find("duplicate field \"spec.cpus\""), std::string::npos);
  EXPECT_EQ(Do("POST", kWidgets, body).json["spec"]["cpus"], 2);
}

TEST_F(CreateTest, ANamespaceMustExist) {  // T100
  const Reply reply = Post("/apis/test.dev/v1/namespaces/nons/widgets", Widget("a"));
  EXPECT_EQ(reply.code, 404);
  EXPECT_EQ(reply.message(), "namespaces \"nons\" not found");
  EXPECT_EQ(reply.json["details"]["kind"], "namespaces");
  EXPECT_EQ(Post(kAllWidgets, Widget("a")).code, 400);
}

TEST_F(CreateTest, DryRunKeepsNothing) {  // T101 T102
  const Reply dry = Post(kWidgets + "?dryRun=All", Widget("a"));
  EXPECT_EQ(dry.code, 201);
  EXPECT_EQ(dry.json["spec"]["mode"], "warm");
  EXPECT_FALSE(dry.json["metadata"].contains("resourceVersion"));
  EXPECT_EQ(Get(kWidgets + "/a").code, 404);
  const Reply bad = Post(kWidgets + "?dryRun=Some", Widget("a"));
  EXPECT_EQ(bad.code, 422);
  EXPECT_EQ(bad.json["details"]["kind"], "CreateOptions");
}

TEST_F(CreateTest, AResourceVersionIsRefused) {  // T072
  Json body = Widget("a");
  body["metadata"]["resourceVersion"] = "5";
  EXPECT_GE(Post(kWidgets, body).code, 400);
  EXPECT_EQ(Get(kWidgets + "/a").code, 404);
}

TEST_F(CreateTest, ACreateOnANamedObjectIs405) {
  const Reply reply = Post(kWidgets + "/a", Widget("a"));
  EXPECT_EQ(reply.code, 405);
  EXPECT_EQ(reply.message(), "create is not supported on resources of kind \"widgets.test.dev\"");
}

// Goal: ConfigMaps and Secrets hold at most 1 MiB of values, whichever verb makes them larger, and
// what is refused is not there. Method: one byte below, at and above the bound.
TEST_F(CreateTest, ConfigMapsAndSecretsHoldAtMostOneMebibyte) {
  const std::size_t most = std::size_t{1024} * 1024;
  Json map = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", "m"}}}};
  map["data"] = {{"a", std::string(most - 10, 'x')}, {"b", std::string(10, 'x')}};
  EXPECT_EQ(Post(kConfigMaps, map).code, 201);
  const Reply grown = Patch(kConfigMaps + "/m", {{"data", {{"c", "y"}}}});
  EXPECT_EQ(grown.code, 422);
  EXPECT_EQ(grown.message(),
            "ConfigMap \"m\" is invalid: []: Too long: may not be more than 1048576 bytes");
  EXPECT_EQ(grown.json["details"]["causes"][0]["reason"], "FieldValueTooLong");
  map["metadata"]["name"] = "n";
  map["binaryData"] = {{"d", "eA=="}};  // one byte
  EXPECT_EQ(Post(kConfigMaps, map).code, 422);
  EXPECT_EQ(Get(kConfigMaps + "/n").code, 404);

  const std::string secrets = "/api/v1/namespaces/default/secrets";
  Json secret = {{"apiVersion", "v1"}, {"kind", "Secret"}, {"metadata", {{"name", "s"}}}};
  secret["stringData"] = {{"a", std::string(most, 'x')}};
  EXPECT_EQ(Post(secrets, secret).code, 201);
  secret["metadata"]["name"] = "t";
  secret["stringData"]["b"] = "x";
  EXPECT_EQ(Post(secrets, secret).code, 422);
}

}  // namespace
}  // namespace forkplane::apiserver::testing
