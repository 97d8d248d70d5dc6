#include "controller/apiserver/discovery/openapi.h"

#include <openssl/evp.h>

#include <nlohmann/json.hpp>

#include "controller/apiserver/discovery/openapi_paths.h"
#include "controller/apiserver/discovery/openapi_proto.h"
#include "controller/apiserver/discovery/openapi_schemas.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/negotiation.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

// What clients ask for, in both spellings that were seen, and what upstream answers with.
constexpr std::string_view kProtoTypes[] = {
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"};
constexpr std::string_view kProtoAnswerType =
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

std::string Sha512Hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha512(), nullptr) == 1);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02X}", digest[i]);
  return hex;
}

Json Info() { return {{"title", "Forkplane"}, {"version", FORKPLANE_VERSION}}; }

std::string GroupVersionPath(const crd::ResourceType& type) {
  return type.group.empty() ? "api/" + type.version : "apis/" + type.group + "/" + type.version;
}

Json EmptyV3() {
  return {{"openapi", "3.0.0"},
          {"info", Info()},
          {"paths", Json::object()},
          {"components", {{"schemas", Json::object()}}}};
}

bool WantsProto(std::string_view accept) {
  for (const MediaType& media : ParseAccept(accept)) {
    if (std::find(std::begin(kProtoTypes), std::end(kProtoTypes), media.type) !=
        std::end(kProtoTypes)) {
      return true;
    }
    if (media.type == "application/json" || media.type == "*/*") return false;
  }
  return false;
}

}  // namespace

std::shared_ptr<const OpenApi::Documents> OpenApi::Current() {
  const auto finish = [](std::string text) {
    Document document;
    document.hash = Sha512Hex(text);
    document.text = std::make_shared<const std::string>(std::move(text));
    return document;
  };
  MutexLock lock(mu_);
  const std::uint64_t version = registry_.version();
  if (documents_ != nullptr && built_for_ == version) return documents_;

  std::map<std::string, Json> v3;
  Json v2 = {{"swagger", "2.0"},
             {"info", Info()},
             {"paths", Json::object()},
             {"definitions", Json::object()}};
  AddMetaSchemas(OpenApiVersion::kV2, v2["definitions"]);
  for (const crd::ResourceTypePtr& type : registry_.List()) {
    if (!type->served) continue;
    const auto [it, inserted] = v3.try_emplace(GroupVersionPath(*type));
    if (inserted) {
      it->second = EmptyV3();
      AddMetaSchemas(OpenApiVersion::kV3, it->second["components"]["schemas"]);
    }
    AddTypeSchemas(*type, OpenApiVersion::kV3, it->second["components"]["schemas"]);
    AddTypePaths(*type, OpenApiVersion::kV3, it->second["paths"]);
    AddTypeSchemas(*type, OpenApiVersion::kV2, v2["definitions"]);
    AddTypePaths(*type, OpenApiVersion::kV2, v2["paths"]);
  }
  auto documents = std::make_shared<Documents>();
  Json index = Json::object();
  for (const auto& [path, json] : v3) {
    Document document = finish(crd::DumpJson(json));
    index["paths"][path]["serverRelativeURL"] =
        fmt::format("/openapi/v3/{}?hash={}", path, document.hash);
    documents->v3[path] = std::move(document);
  }
  documents->v3_index = finish(crd::DumpJson(index));
  documents->v2_json = finish(crd::DumpJson(v2));
  documents->v2_proto = finish(EncodeOpenApiV2(v2));
  documents_ = documents;
  built_for_ = version;
  return documents;
}

HttpResponse OpenApi::ServeV3(const HttpRequest& request, const Document& document,
                              const std::string& path) {
  const std::string etag = "\"" + document.hash + "\"";
  HttpResponse response;
  response.headers = {{"ETag", etag}, {"Vary", "Accept"}};
  const std::string_view asked = request.Query("hash");
  if (!asked.empty() && asked != document.hash) {
    response.status = 301;
    response.headers.emplace_back("Location",
                                  fmt::format("/openapi/v3/{}?hash={}", path, document.hash));
    return response;
  }
  if (!asked.empty()) response.headers.emplace_back("Cache-Control", "public, immutable");
  if (request.Header("if-none-match") == etag) {
    response.status = 304;
    return response;
  }
  response.shared_body = document.text;
  return response;
}

HttpResponse OpenApi::ServeV2(const HttpRequest& request, const Documents& documents) {
  const bool proto = WantsProto(request.Header("accept"));
  const Document& document = proto ? documents.v2_proto : documents.v2_json;
  HttpResponse response;
  if (proto) response.content_type = kProtoAnswerType;
  const std::string etag = "\"" + document.hash + "\"";
  response.headers = {{"ETag", etag}, {"Vary", "Accept"}};
  if (request.Header("if-none-match") == etag) {
    response.status = 304;
    return response;
  }
  response.shared_body = document.text;
  return response;
}

HttpResponse OpenApi::Handle(const HttpRequest& request) {
  const std::vector<std::string>& path = request.segments;
  const std::shared_ptr<const Documents> documents = Current();
  if (path.size() == 2 && path[1] == "v2") return ServeV2(request, *documents);
  if (path.size() < 2 || path[1] != "v3") return ToResponse(NoSuchPath());
  if (path.size() == 2) return ServeV3(request, documents->v3_index, "");
  std::string name;
  for (std::size_t i = 2; i < path.size(); ++i) name += (i == 2 ? "" : "/") + path[i];
  const auto it = documents->v3.find(name);
  if (it == documents->v3.end()) return ToResponse(NoSuchPath());
  return ServeV3(request, it->second, name);
}

}  // namespace forkplane::apiserver
