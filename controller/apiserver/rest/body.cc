#include "controller/apiserver/rest/body.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/proto/decoder.h"
#include "controller/apiserver/proto/message_tables.h"
#include "controller/apiserver/rest/negotiation.h"
#include "controller/apiserver/rest/text.h"
#include "crd/json_members.h"
#include "crd/yaml.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

// Upstream's bounds on what a Warning header may grow to (filters/warning.go).
constexpr std::size_t kWarningCharsMax = 256;
constexpr std::size_t kWarningsMax = 50;

ApiResult<PatchType> NegotiatePatch(const HttpRequest& request, const crd::ResourceType& type) {
  std::vector<PatchType> taken = {PatchType::kJson, PatchType::kMerge};
  if (!type.IsCustom()) taken.push_back(PatchType::kStrategic);
  const std::vector<MediaType> sent = ParseAccept(request.Header("content-type"));
  std::string accepted;
  for (const PatchType form : taken) {
    if (sent.size() == 1 && sent[0].type == MediaTypeOf(form)) return form;
    accepted += fmt::format("{}{}", accepted.empty() ? "" : ", ", MediaTypeOf(form));
  }
  return UnsupportedMediaType(accepted);
}

// Sets a member that is absent, null or "".
void FillIn(const char* name, const std::string& text, Json& object) {
  Json& member = object[name];
  const bool empty = member.is_string() && member.get_ref<const std::string&>().empty();
  if (member.is_null() || empty) member = text;
}

// Exhausted is the server's trouble; everything else about a body is its writer's.
ApiStatus UnreadableBody(const Error& error, std::string_view prefix = "") {
  if (error.code == Code::kExhausted) return FromError(error, {});
  return BadRequestStatus(fmt::format("{}{}", prefix, error.message));
}

}  // namespace

ApiResult<DecodedBody> DecodeBody(const HttpRequest& request, bool protobuf) {
  ASSIGN_OR_RETURN(const BodyFormat format,
                   NegotiateBody(request.Header("content-type"), protobuf));
  DecodedBody body;
  if (format == BodyFormat::kProtobuf) {
    Result<Json> json = DecodeProtobuf(request.body);
    if (!json.ok()) return BadRequestStatus(json.error().message);
    body.json = std::make_shared<Json>(std::move(json).value());
    return body;
  }
  if (format == BodyFormat::kYaml) {
    Result<std::vector<crd::YamlDocument>> documents = crd::ParseYaml(request.body);
    if (!documents.ok()) return UnreadableBody(documents.error());
    if (documents->size() != 1)
      return BadRequestStatus("the body must hold exactly one YAML document");
    body.json = std::make_shared<Json>(*documents->front().value);
    body.duplicates = documents->front().duplicates;
    return body;
  }
  Result<Json> json = crd::ParseJson(request.body, {}, &body.duplicates);
  if (!json.ok()) {
    return UnreadableBody(json.error(), "couldn't get version/kind; json parse error: ");
  }
  body.json = std::make_shared<Json>(std::move(json).value());
  return body;
}

ApiResult<DecodedBody> DecodeObject(const HttpRequest& request, const crd::ResourceType& type) {
  const bool protobuf =
      !type.IsCustom() && FindMessageTable(type.ApiVersion(), type.kind) != nullptr;
  ASSIGN_OR_RETURN(DecodedBody body, DecodeBody(request, protobuf));
  if (!type.IsCustom() && body.json->is_object()) {
    FillIn("kind", type.kind, *body.json);
    FillIn("apiVersion", type.ApiVersion(), *body.json);
  }
  RETURN_IF_ERROR(CheckTypeMeta(*body.json, type));
  return body;
}

ApiResult<Patch> DecodePatch(const HttpRequest& request, const crd::ResourceType& type,
                             FieldValidation validation) {
  ASSIGN_OR_RETURN(const PatchType form, NegotiatePatch(request, type));
  std::vector<std::string> duplicates;
  Result<Patch> patch = Patch::Parse(form, request.body, duplicates);
  if (!patch.ok()) {
    if (patch.error().code == Code::kExhausted) return TooLarge(patch.error().message);
    return BadRequestStatus(fmt::format("error decoding patch: {}", patch.error().message));
  }
  if (validation == FieldValidation::kStrict && !duplicates.empty()) {
    return BadRequestStatus(
        fmt::format("strict decoding error: duplicate field {}", Quoted(duplicates.front())));
  }
  return std::move(patch).value();
}

ApiResult<bool> ApplyPatch(const Patch& patch, const crd::ResourceType& type, Json& object) {
  const Status applied = patch.Apply(WithMetadataKeys(type.merge_keys), object);
  if (applied.ok()) return true;
  if (patch.type() == PatchType::kJson) return PatchRefused(applied.error().message);
  return BadRequestStatus(fmt::format("error applying patch: {}", applied.error().message));
}

ApiResult<bool> CheckTypeMeta(const Json& object, const crd::ResourceType& type) {
  if (!object.is_object()) {
    return BadRequestStatus(fmt::format(
        "the object provided is unrecognized (must be of type {}): not a JSON object", type.kind));
  }
  const std::string kind = crd::TextOf(object, "kind");
  const std::string api_version = crd::TextOf(object, "apiVersion");
  if (kind.empty()) {
    return BadRequestStatus(fmt::format(
        "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing",
        type.kind));
  }
  if (api_version != type.ApiVersion()) {
    return BadRequestStatus(
        fmt::format("the API version in the data ({}) does not match the expected API version ({})",
                    api_version, type.ApiVersion()));
  }
  if (kind != type.kind) {
    const auto metadata = object.find("metadata");
    ObjectRef ref{.group = type.group, .resource = type.plural, .kind = kind, .name = {}};
    if (metadata != object.end() && metadata->is_object())
      ref.name = crd::TextOf(*metadata, "name");
    return InvalidObject(ref,
                         {{"FieldValueInvalid", "kind",
                           fmt::format("Invalid value: {}: must be {}", Quoted(kind), type.kind)}});
  }
  return true;
}

ApiResult<std::vector<std::string>> PruneBody(const crd::ResourceType& type, DecodedBody& body,
                                              FieldValidation validation) {
  std::vector<std::string> complaints;
  for (const std::string& path : crd::PruneObject(type, *body.json)) {
    complaints.push_back(fmt::format("unknown field {}", Quoted(path)));
  }
  for (const std::string& path : body.duplicates) {
    complaints.push_back(fmt::format("duplicate field {}", Quoted(path)));
  }
  if (validation == FieldValidation::kIgnore) return std::vector<std::string>{};
  if (validation == FieldValidation::kStrict && !complaints.empty()) {
    std::string joined;
    for (const std::string& complaint : complaints) {
      joined += (joined.empty() ? "" : ", ") + complaint;
    }
    return BadRequestStatus(
        fmt::format("{0} in version {1} cannot be handled as a {0}: strict decoding error: {2}",
                    type.kind, Quoted(type.version), joined));
  }
  return complaints;
}

std::string WarningHeader(std::string_view text) {
  std::string quoted;
  for (const char c : text.substr(0, kWarningCharsMax)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) continue;  // would end the header line
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return fmt::format("299 - \"{}\"", quoted);
}

void AddWarnings(const std::vector<std::string>& warnings, HttpResponse& response) {
  for (std::size_t i = 0; i < warnings.size() && i < kWarningsMax; ++i) {
    response.headers.emplace_back("Warning", WarningHeader(warnings[i]));
  }
}

}  // namespace forkplane::apiserver
