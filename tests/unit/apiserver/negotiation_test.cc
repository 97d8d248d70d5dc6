#include "controller/apiserver/rest/negotiation.h"

#include <gtest/gtest.h>

namespace forkplane::apiserver {
namespace {

std::string Negotiate(std::string_view accept, const Offer& offer = {}) {
  ApiResult<Negotiated> result = NegotiateResponse(accept, offer);
  if (!result.ok()) return std::to_string(result.error().code);
  if (result->format == BodyFormat::kYaml) return "yaml";
  switch (result->transform) {
    case Transform::kNone:
      return "json";
    case Transform::kTable:
      return "table " + result->meta_version;
    case Transform::kPartialMetadata:
      return "partial " + result->meta_version;
  }
  return "?";
}

TEST(Negotiation, TheFirstClauseThatCanBeServedWins) {
  EXPECT_EQ(Negotiate(""), "json");
  EXPECT_EQ(Negotiate("*/*"), "json");
  EXPECT_EQ(Negotiate("application/json;q=0.1, application/yaml"), "json");
  EXPECT_EQ(Negotiate("application/vnd.kubernetes.protobuf,application/json"), "json");
  EXPECT_EQ(Negotiate("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), "table v1");
  EXPECT_EQ(Negotiate("application/json; g=meta.k8s.io; v=v1beta1; as=Table"), "table v1beta1");
  EXPECT_EQ(Negotiate("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
            "partial v1");
  // kubectl 1.27 lists two versions; ours is the first.
  EXPECT_EQ(Negotiate("application/json;as=Table;v=v9;g=meta.k8s.io,application/json"), "json");
}

TEST(Negotiation, NothingAcceptableIs406) {
  EXPECT_EQ(Negotiate("text/html"), "406");
  EXPECT_EQ(Negotiate("application/vnd.kubernetes.protobuf"), "406");
  EXPECT_EQ(Negotiate("application/json;as=Table;v=v9;g=meta.k8s.io"), "406");  // T063
  EXPECT_EQ(Negotiate("application/json;as=Table;v=v1;g=meta.k8s.io", {.table = false}), "406");
  EXPECT_EQ(
      Negotiate("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", {.table = false}),
      "json");
  EXPECT_EQ(
      Negotiate("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", {.partial = false}),
      "406");
}

TEST(Negotiation, YamlIsAnsweredWhereItIsOffered) {  // T067
  EXPECT_EQ(Negotiate("application/yaml"), "yaml");
  EXPECT_EQ(Negotiate("application/yaml, application/json"), "yaml");
  EXPECT_EQ(Negotiate("application/yaml;as=Table;v=v1;g=meta.k8s.io"), "yaml");
  EXPECT_EQ(Negotiate("application/yaml", {.yaml = false}), "406");
  EXPECT_EQ(Negotiate("application/yaml, */*", {.yaml = false}), "json");
}

TEST(Negotiation, BodiesAreJsonOrYaml) {
  EXPECT_EQ(NegotiateBody("").value(), BodyFormat::kJson);
  EXPECT_EQ(NegotiateBody("application/json; charset=utf-8").value(), BodyFormat::kJson);
  EXPECT_EQ(NegotiateBody("application/yaml").value(), BodyFormat::kYaml);
  EXPECT_EQ(NegotiateBody("text/plain").error().code, 415);
  constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";
  EXPECT_EQ(NegotiateBody(kProtobuf).error().code, 415);
  EXPECT_EQ(NegotiateBody(kProtobuf, true).value(), BodyFormat::kProtobuf);
}

}  // namespace
}  // namespace forkplane::apiserver
