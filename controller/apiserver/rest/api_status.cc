#include "controller/apiserver/rest/api_status.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/text.h"
#include "controller/base/foreign_text.h"
#include "controller/store/errors.h"
#include "crd/json.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

std::string Qualify(const std::string& name, const std::string& group) {
  return group.empty() ? name : name + "." + group;
}

// Statuses repeat what clients sent; the answer to a big request stays small.
constexpr std::size_t kMessageBytesMax = std::size_t{32} * 1024;
constexpr std::size_t kCauseBytesMax = std::size_t{4} * 1024;

std::string Cut(const std::string& text, std::size_t bytes_max) {
  return text.size() <= bytes_max ? text : std::string(CutUtf8(text, bytes_max)).append("...");
}

// HTTP code of a Status reason.
int CodeOf(std::string_view reason) {
  static const std::map<std::string_view, int> codes = {
      {"BadRequest", 400},
      {"Unauthorized", 401},
      {"Forbidden", 403},
      {"NotFound", 404},
      {"MethodNotAllowed", 405},
      {"AlreadyExists", 409},
      {"Conflict", 409},
      {"InsufficientResources", 409},
      {"Expired", 410},
      {"RequestEntityTooLarge", 413},
      {"Invalid", 422},
      {"TooManyRequests", 429},
      {"ServiceUnavailable", 503},
      {"Timeout", 504},
  };
  const auto it = codes.find(reason);
  return it == codes.end() ? 500 : it->second;
}

Json Details(const ApiStatus& status) {
  Json details = Json::object();
  if (!status.name.empty()) details["name"] = Cut(status.name, kCauseBytesMax);
  if (!status.group.empty()) details["group"] = status.group;
  if (!status.kind.empty()) details["kind"] = status.kind;
  if (!status.uid.empty()) details["uid"] = status.uid;
  if (status.retry_after_seconds > 0) details["retryAfterSeconds"] = status.retry_after_seconds;
  for (const Cause& cause : status.causes) {
    Json item = Json::object();
    if (!cause.reason.empty()) item["reason"] = cause.reason;
    if (!cause.message.empty()) item["message"] = Cut(cause.message, kCauseBytesMax);
    if (!cause.field.empty()) item["field"] = Cut(cause.field, kCauseBytesMax);
    details["causes"].push_back(std::move(item));
  }
  return details;
}

// "spec.cpus: Required value"; several are joined in brackets.
std::string JoinCauses(const std::vector<Cause>& causes) {
  std::string text;
  for (const Cause& cause : causes) {
    if (!text.empty()) text += ", ";
    text += cause.field + ": " + cause.message;
  }
  return causes.size() > 1 ? "[" + text + "]" : text;
}

// A namespace that is absent is reported under its own name, whatever was asked for.
bool NamesNamespace(const Error& error, const ObjectRef& ref, ApiStatus& status) {
  static constexpr std::string_view kPrefix = "namespaces \"";
  if (ref.resource == "namespaces" || !error.message.starts_with(kPrefix)) return false;
  status.group.clear();
  status.kind = "namespaces";
  status.name = error.message.substr(kPrefix.size());
  status.name = status.name.substr(0, status.name.find('"'));
  return true;
}

}  // namespace

std::string ObjectRef::QualifiedResource() const { return Qualify(resource, group); }
std::string ObjectRef::QualifiedKind() const { return Qualify(kind, group); }

std::string ToJsonText(const ApiStatus& status) {
  Json json = {{"kind", "Status"},
               {"apiVersion", "v1"},
               {"metadata", Json::object()},
               {"status", status.code < 300 ? "Success" : "Failure"}};
  if (status.code >= 300) json["code"] = status.code;
  if (!status.continue_token.empty()) json["metadata"]["continue"] = status.continue_token;
  if (!status.message.empty()) json["message"] = Cut(status.message, kMessageBytesMax);
  if (!status.reason.empty()) json["reason"] = status.reason;
  Json details = Details(status);
  if (!details.empty()) json["details"] = std::move(details);
  // Messages quote what clients sent; whatever it was, the answer is UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpResponse ToResponse(const ApiStatus& status) {
  HttpResponse response{.status = status.code};
  response.body = ToJsonText(status);
  if (status.retry_after_seconds > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(status.retry_after_seconds));
  }
  return response;
}

ApiStatus BadRequestStatus(std::string message) {
  return {.code = 400, .reason = "BadRequest", .message = std::move(message)};
}

ApiStatus PatchRefused(std::string_view why) {
  return {.code = 422,
          .reason = "Invalid",
          .message = "the server rejected our request due to an error in our request",
          .causes = {{"FieldValueInvalid", "patch", std::string(why)}}};
}

ApiStatus TooLarge(std::string message) {
  return {.code = 413, .reason = "RequestEntityTooLarge", .message = std::move(message)};
}

ApiStatus BadFieldStatus(std::string_view field, std::string_view what) {
  return {.code = 400,
          .reason = "BadRequest",
          .message = fmt::format("{}: {}", field, what),
          .causes = {{"FieldValueInvalid", std::string(field), std::string(what)}}};
}

ApiStatus NoSuchPath() {
  return {.code = 404,
          .reason = "NotFound",
          .message = "the server could not find the requested resource"};
}

ApiStatus NotFoundStatus(const ObjectRef& ref) {
  return {.code = 404,
          .reason = "NotFound",
          .message = fmt::format("{} {} not found", ref.QualifiedResource(), Quoted(ref.name)),
          .name = ref.name,
          .group = ref.group,
          .kind = ref.resource};
}

ApiStatus MethodNotAllowed(const ObjectRef& ref, std::string_view verb) {
  return {.code = 405,
          .reason = "MethodNotAllowed",
          .message = fmt::format("{} is not supported on resources of kind {}", verb,
                                 Quoted(ref.QualifiedResource())),
          .group = ref.group,
          .kind = ref.resource};
}

ApiStatus NotAcceptable() {
  return {
      .code = 406,
      .reason = "NotAcceptable",
      .message = "only the following media types are accepted: application/json, application/yaml"};
}

ApiStatus UnsupportedMediaType(std::string_view accepted) {
  return {.code = 415,
          .reason = "UnsupportedMediaType",
          .message = fmt::format("the body of the request was in an unknown format - accepted "
                                 "media types include: {}",
                                 accepted)};
}

ApiStatus Unauthorized() {
  return {.code = 401, .reason = "Unauthorized", .message = "Unauthorized"};
}

ApiStatus ForbiddenStatus(const ObjectRef& ref, std::string message, std::vector<Cause> causes) {
  return {.code = 403,
          .reason = "Forbidden",
          .message = std::move(message),
          .name = ref.name,
          .group = ref.group,
          .kind = ref.resource,
          .causes = std::move(causes)};
}

ApiStatus Expired(std::string message, std::string token) {
  return {.code = 410,
          .reason = "Expired",
          .message = std::move(message),
          .continue_token = std::move(token)};
}

ApiStatus TooLargeResourceVersion(std::uint64_t asked, std::uint64_t current) {
  return {.code = 504,
          .reason = "Timeout",
          .message =
              fmt::format("Timeout: Too large resource version: {}, current: {}", asked, current),
          .causes = {{"ResourceVersionTooLarge", "", "Too large resource version"}},
          .retry_after_seconds = 1};
}

ApiStatus InvalidOptions(std::string_view kind, Cause cause) {
  return InvalidObject(
      {.group = "meta.k8s.io", .resource = {}, .kind = std::string(kind), .name = {}},
      {std::move(cause)});
}

ApiStatus InvalidObject(const ObjectRef& ref, std::vector<Cause> causes) {
  std::string message = fmt::format("{} {} is invalid: {}", ref.QualifiedKind(), Quoted(ref.name),
                                    JoinCauses(causes));
  return {.code = 422,
          .reason = "Invalid",
          .message = std::move(message),
          .name = ref.name,
          .group = ref.group,
          .kind = ref.kind,
          .causes = std::move(causes)};
}

ApiStatus FromError(const Error& error, const ObjectRef& ref) {
  ApiStatus status{.reason = std::string(store::StatusReason(error)),
                   .message = error.message,
                   .causes = store::VisibleCauses(error)};
  status.code = CodeOf(status.reason);
  if (status.reason == "BadRequest" || status.reason == "Expired") return status;
  if (status.reason == "Timeout") {
    status.causes = {{"ResourceVersionTooLarge", "", "Too large resource version"}};
    status.retry_after_seconds = 1;
    return status;
  }
  if (status.code >= 500) {
    // Nothing of ours is promised to be in a server error but the text.
    status.retry_after_seconds = status.code == 503 ? 1 : 0;
    return status;
  }
  status.name = ref.name;
  status.group = ref.group;
  status.kind = status.reason == "Invalid" ? ref.kind : ref.resource;
  NamesNamespace(error, ref, status);
  return status;
}

}  // namespace forkplane::apiserver
