#include "controller/apiserver/rest/scale_handler.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/modify.h"
#include "controller/apiserver/rest/render.h"
#include "controller/apiserver/rest/text.h"
#include "crd/json_members.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

void SetAt(Json& object, std::string_view path, std::int64_t number) {
  Json* at = &object;
  for (const std::string_view part : Split(path, '.')) {
    if (part.empty()) continue;  // the leading dot
    if (!at->is_object()) *at = Json::object();
    at = &(*at)[std::string(part)];
  }
  *at = number;
}

Json ScaleOf(const Json& object, const crd::ScaleSubresource& paths) {
  Json scale = {{"kind", "Scale"},
                {"apiVersion", "autoscaling/v1"},
                {"metadata", Json::object()},
                {"spec", {{"replicas", crd::IntegerAt(object, paths.spec_replicas_path)}}},
                {"status", {{"replicas", crd::IntegerAt(object, paths.status_replicas_path)}}}};
  for (const char* name : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    const Json* value = crd::FindPath(object, std::string("metadata.") + name);
    if (value != nullptr) scale["metadata"][name] = *value;
  }
  if (!paths.label_selector_path.empty()) {
    const Json* selector = crd::FindPath(object, paths.label_selector_path);
    if (selector != nullptr && selector->is_string()) scale["status"]["selector"] = *selector;
  }
  return scale;
}

// The replicas a client asks for, or the refusal.
ApiResult<std::int64_t> Replicas(const Json& scale, const RequestContext& context) {
  const Json* value = crd::FindPath(scale, "spec.replicas");
  if (value == nullptr) return std::int64_t{0};
  if (!value->is_number_integer()) {
    return BadFieldStatus("spec.replicas", "Invalid value: must be an integer");
  }
  const auto replicas = value->get<std::int64_t>();
  if (replicas < 0 || replicas > INT32_MAX) {
    return InvalidObject(
        {.group = "autoscaling", .resource = {}, .kind = "Scale", .name = context.info.name},
        {{"FieldValueInvalid", "spec.replicas",
          fmt::format("Invalid value: {}: should be a non-negative integer", replicas)}});
  }
  return replicas;
}

std::string RevisionIn(const Json& scale) {
  const Json* revision = crd::FindPath(scale, "metadata.resourceVersion");
  return revision != nullptr && revision->is_string() ? revision->get<std::string>()
                                                      : std::string();
}

ApiResult<Json> ReadObject(store::ObjectStore& store, const RequestContext& context) {
  ASSIGN_OR_RETURN(const store::ObjectPtr object, Lift(store.Get(context.Key()), context.Ref()));
  if (object == nullptr) return NotFoundStatus(context.Ref());
  return Lift(crd::ParseJson(object->text), context.Ref());
}

// Writes what the Scale asks for into the object: the replicas, and the revision that it asks for,
// if any.
ApiResult<bool> SetReplicas(const RequestContext& context, const Json& scale, Json& object) {
  const Json* name = crd::FindPath(scale, "metadata.name");
  if (name != nullptr && *name != context.info.name) {
    return BadRequestStatus(
        fmt::format("the name of the object ({}) does not match the name on the URL ({})",
                    name->is_string() ? name->get<std::string>() : "", context.info.name));
  }
  ASSIGN_OR_RETURN(const std::int64_t replicas, Replicas(scale, context));
  SetAt(object, context.type->scale->spec_replicas_path, replicas);
  if (const std::string revision = RevisionIn(scale); !revision.empty()) {
    object["metadata"]["resourceVersion"] = revision;
  }
  return true;
}

HttpResponse ScaleResponse(const Json& object, const crd::ScaleSubresource& paths,
                           const Negotiated& negotiated) {
  HttpResponse response;
  response.body = crd::DumpJson(ScaleOf(object, paths));
  Finish(negotiated, /*pretty=*/false, response);
  return response;
}

}  // namespace

ApiResult<HttpResponse> ScaleHandler::Get(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Negotiated negotiated, NegotiateResponse(context.http.Header("accept")));
  ASSIGN_OR_RETURN(const Json object, ReadObject(store_, context));
  return ScaleResponse(object, *context.type->scale, negotiated);
}

ApiResult<HttpResponse> ScaleHandler::Update(const RequestContext& context) {
  ASSIGN_OR_RETURN(const WriteQuery query, ParseWriteQuery(context.http, "UpdateOptions"));
  ASSIGN_OR_RETURN(const DecodedBody body, DecodeBody(context.http));
  if (!body.json->is_object()) return BadRequestStatus("the body must be a Scale");
  return Write(context, query, [&](Json& object) -> ApiResult<bool> {
    return SetReplicas(context, *body.json, object);
  });
}

ApiResult<HttpResponse> ScaleHandler::Patch(const RequestContext& context) {
  ASSIGN_OR_RETURN(const WriteQuery query, ParseWriteQuery(context.http, "PatchOptions"));
  ASSIGN_OR_RETURN(const apiserver::Patch patch,
                   DecodePatch(context.http, *context.type, FieldValidation::kIgnore));
  return Write(context, query, [&](Json& object) -> ApiResult<bool> {
    Json scale = ScaleOf(object, *context.type->scale);
    RETURN_IF_ERROR(ApplyPatch(patch, *context.type, scale));
    if (!scale.is_object()) return BadRequestStatus("the result must be a Scale");
    return SetReplicas(context, scale, object);
  });
}

ApiResult<HttpResponse> ScaleHandler::Write(
    const RequestContext& context, const WriteQuery& query,
    const std::function<ApiResult<bool>(Json& object)>& edit) {
  ASSIGN_OR_RETURN(const Negotiated negotiated, NegotiateResponse(context.http.Header("accept")));
  ASSIGN_OR_RETURN(const store::WriteResult written,
                   ModifyObject(store_, context, {.dry_run = query.dry_run}, edit));
  ASSIGN_OR_RETURN(const Json object, Lift(crd::ParseJson(written.object->text), context.Ref()));
  return ScaleResponse(object, *context.type->scale, negotiated);
}

}  // namespace forkplane::apiserver
