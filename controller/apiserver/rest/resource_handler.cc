#include "controller/apiserver/rest/resource_handler.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/modify.h"
#include "controller/apiserver/rest/negotiation.h"
#include "controller/apiserver/rest/render.h"
#include "controller/apiserver/rest/text.h"
#include "controller/store/errors.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

constexpr std::string_view kExpiredContinue =
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list.";

store::Part PartOf(const RequestContext& context) {
  if (context.info.subresource == "status") return store::Part::kStatus;
  if (context.info.subresource == "finalize") return store::Part::kFinalize;
  return store::Part::kMain;
}

std::string MetadataText(const Json& object, const char* name) {
  const Json* value = crd::FindPath(object, std::string("metadata.") + name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

// The URL names the object; the body must agree.
ApiResult<bool> CheckName(const Json& object, const RequestContext& context) {
  const std::string name = MetadataText(object, "name");
  if (name != context.info.name) {
    return BadRequestStatus(
        fmt::format("the name of the object ({}) does not match the name on the URL ({})", name,
                    context.info.name));
  }
  const std::string ns = MetadataText(object, "namespace");
  if (!ns.empty() && ns != context.info.namespace_name) {
    return BadRequestStatus(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  return true;
}

// These two kinds are made by a PUT when absent (AllowCreateOnUpdate upstream).
bool CreatesOnUpdate(const crd::ResourceType& type) {
  return (type.group == "coordination.k8s.io" && type.plural == "leases") ||
         (type.group.empty() && type.plural == "events");
}

ApiResult<bool> AwaitRevision(store::ObjectStore& store, std::optional<store::Revision> revision) {
  if (revision.value_or(0) == 0) return true;
  const Status reached = store.AwaitRevision(*revision, kRevisionPatience, std::stop_token{});
  if (!reached.ok()) return FromError(reached.error(), {});
  return true;
}

}  // namespace

ApiResult<HttpResponse> ResourceHandler::Get(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Renderer renderer, Renderer::Make(context.http, context.type, clock_));
  store::Revision revision = 0;
  const std::string_view text = context.http.Query("resourceVersion");
  if (!text.empty() && !store::ParseRevision(text, &revision)) {
    return BadRequestStatus(fmt::format("invalid resource version {}", Quoted(text)));
  }
  RETURN_IF_ERROR(AwaitRevision(store_, revision));
  ASSIGN_OR_RETURN(const store::ObjectPtr object, Lift(store_.Get(context.Key()), context.Ref()));
  if (object == nullptr) return NotFoundStatus(context.Ref());
  return renderer.Object(*object, 200);
}

ApiResult<store::ListResult> ReadList(store::ObjectStore& store, const RequestContext& context,
                                      const ListQuery& query) {
  RETURN_IF_ERROR(AwaitRevision(store, query.revision));
  const store::ListOptions options{.ns = context.info.namespace_name,
                                   .labels = query.labels,
                                   .fields = query.fields,
                                   .limit = query.limit,
                                   .continue_token = query.continue_token,
                                   .exact_revision = query.exact ? query.revision.value_or(0) : 0};
  Result<store::ListResult> list = store.List(context.Resource(), options);
  if (list.ok()) return std::move(list).value();
  if (!store::IsExpired(list.error())) return FromError(list.error(), context.Ref());
  if (query.continue_token.empty()) {
    return Expired("The resourceVersion for the provided list is too old.");
  }
  Result<std::string> token = store::InconsistentContinue(query.continue_token);
  return Expired(std::string(kExpiredContinue), token.ok() ? *token : std::string());
}

ApiResult<HttpResponse> ResourceHandler::List(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Renderer renderer, Renderer::Make(context.http, context.type, clock_));
  ASSIGN_OR_RETURN(const ListQuery query, ParseListQuery(context.http, false));
  ASSIGN_OR_RETURN(const store::ListResult list, ReadList(store_, context, query));
  return renderer.List(list);
}

ApiResult<std::vector<std::string>> ResourceHandler::Prepare(const RequestContext& context,
                                                             DecodedBody& body,
                                                             FieldValidation validation) {
  ASSIGN_OR_RETURN(std::vector<std::string> warnings, PruneBody(*context.type, body, validation));
  if (!context.type->deprecation_warning.empty()) {
    warnings.push_back(context.type->deprecation_warning);
  }
  const crd::ResourceTypePtr storage =
      registry_.FindStorage(context.type->group, context.type->plural);
  if (storage != nullptr) (*body.json)["apiVersion"] = storage->ApiVersion();
  return warnings;
}

ApiResult<HttpResponse> ResourceHandler::Create(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Renderer renderer, Renderer::Make(context.http, context.type, clock_));
  ASSIGN_OR_RETURN(const WriteQuery query, ParseWriteQuery(context.http, "CreateOptions"));
  ASSIGN_OR_RETURN(DecodedBody body, DecodeObject(context.http, *context.type));
  const ObjectRef ref = context.Ref(MetadataText(*body.json, "name"));
  ASSIGN_OR_RETURN(const std::vector<std::string> warnings,
                   Prepare(context, body, query.validation));
  const std::string text = crd::DumpJson(*body.json);
  ASSIGN_OR_RETURN(const store::WriteResult result,
                   Lift(store_.Create(context.Resource(), context.info.namespace_name, text,
                                      {.dry_run = query.dry_run}),
                        ref));
  HttpResponse response = renderer.Object(*result.object, 201);
  AddWarnings(warnings, response);
  return response;
}

ApiResult<store::WriteResult> ResourceHandler::UpdateOrCreate(const RequestContext& context,
                                                              const std::string& text, bool dry_run,
                                                              bool& created) {
  const store::UpdateOptions options{.part = PartOf(context), .dry_run = dry_run};
  Result<store::WriteResult> updated = store_.Update(context.Key(), text, options);
  if (updated.ok()) return std::move(updated).value();
  if (updated.error().code != Code::kNotFound || !CreatesOnUpdate(*context.type) ||
      options.part != store::Part::kMain) {
    return FromError(updated.error(), context.Ref());
  }
  created = true;
  return Lift(
      store_.Create(context.Resource(), context.info.namespace_name, text, {.dry_run = dry_run}),
      context.Ref());
}

ApiResult<HttpResponse> ResourceHandler::Update(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Renderer renderer, Renderer::Make(context.http, context.type, clock_));
  ASSIGN_OR_RETURN(const WriteQuery query, ParseWriteQuery(context.http, "UpdateOptions"));
  ASSIGN_OR_RETURN(DecodedBody body, DecodeObject(context.http, *context.type));
  RETURN_IF_ERROR(CheckName(*body.json, context));
  ASSIGN_OR_RETURN(const std::vector<std::string> warnings,
                   Prepare(context, body, query.validation));
  const std::string text = crd::DumpJson(*body.json);
  bool created = false;
  ASSIGN_OR_RETURN(const store::WriteResult result,
                   UpdateOrCreate(context, text, query.dry_run, created));
  HttpResponse response = renderer.Object(*result.object, created ? 201 : 200);
  AddWarnings(warnings, response);
  return response;
}

ApiResult<std::vector<std::string>> ResourceHandler::PatchObject(const RequestContext& context,
                                                                 const apiserver::Patch& patch,
                                                                 FieldValidation validation,
                                                                 Json& object) {
  object["apiVersion"] = context.type->ApiVersion();
  // Without a revision in the patch the object keeps the one that it was read at.
  RETURN_IF_ERROR(ApplyPatch(patch, *context.type, object));
  RETURN_IF_ERROR(CheckTypeMeta(object, *context.type));
  RETURN_IF_ERROR(CheckName(object, context));
  DecodedBody body{.json = std::make_shared<Json>(std::move(object)), .duplicates = {}};
  ASSIGN_OR_RETURN(std::vector<std::string> warnings, Prepare(context, body, validation));
  object = std::move(*body.json);
  return warnings;
}

ApiResult<HttpResponse> ResourceHandler::Patch(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Renderer renderer, Renderer::Make(context.http, context.type, clock_));
  ASSIGN_OR_RETURN(const WriteQuery query, ParseWriteQuery(context.http, "PatchOptions"));
  ASSIGN_OR_RETURN(const apiserver::Patch patch,
                   DecodePatch(context.http, *context.type, query.validation));
  std::vector<std::string> warnings;
  const auto edit = [&](Json& object) -> ApiResult<bool> {
    ASSIGN_OR_RETURN(warnings, PatchObject(context, patch, query.validation, object));
    return true;
  };
  ASSIGN_OR_RETURN(
      const store::WriteResult result,
      ModifyObject(store_, context, {.part = PartOf(context), .dry_run = query.dry_run}, edit));
  HttpResponse response = renderer.Object(*result.object, 200);
  AddWarnings(warnings, response);
  return response;
}

ApiResult<HttpResponse> ResourceHandler::Delete(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Renderer renderer, Renderer::Make(context.http, context.type, clock_));
  ASSIGN_OR_RETURN(const store::DeleteOptions options, ParseDeleteOptions(context.http));
  ASSIGN_OR_RETURN(const store::DeleteResult result,
                   Lift(store_.Delete(context.Key(), options), context.Ref()));
  if (!result.removed) return renderer.Object(*result.object, 200);
  return ToResponse({.code = 200,
                     .name = context.info.name,
                     .group = context.type->group,
                     .kind = context.type->plural,
                     .uid = result.object->meta.uid});
}

ApiResult<HttpResponse> ResourceHandler::DeleteCollection(const RequestContext& context) {
  ASSIGN_OR_RETURN(const Renderer renderer, Renderer::Make(context.http, context.type, clock_));
  ASSIGN_OR_RETURN(const ListQuery query, ParseListQuery(context.http, false));
  ASSIGN_OR_RETURN(const store::DeleteOptions options, ParseDeleteOptions(context.http));
  ASSIGN_OR_RETURN(store::ListResult list, ReadList(store_, context, query));
  std::vector<store::ObjectPtr> deleted;
  std::optional<ApiStatus> refused;  // the first one; the others go all the same
  for (const store::ObjectPtr& object : list.items) {
    const store::ObjectKey key{context.Resource(), object->meta.ns, object->meta.name};
    Result<store::DeleteResult> result = store_.Delete(key, options);
    if (result.ok()) {
      deleted.push_back(result->object);
    } else if (result.error().code != Code::kNotFound && !refused) {  // not found: as wanted
      refused = FromError(result.error(), context.Ref(object->meta.name));
    }
  }
  if (refused) return *std::move(refused);
  list.items = std::move(deleted);
  return renderer.List(list);
}

}  // namespace forkplane::apiserver
