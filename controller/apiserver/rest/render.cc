#include "controller/apiserver/rest/render.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/request_info.h"
#include "controller/apiserver/rest/text.h"
#include "crd/yaml.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

// What the store holds was JSON when it was written; a text that is none any more is a damaged
// store, and an empty object is the most that can be said about it.
Json ParseStored(const store::Object& object) {
  Result<Json> json = crd::ParseJson(object.text, {.depth_max = 200});
  return json.ok() ? std::move(json).value() : Json::object();
}

ApiResult<IncludeObject> ParseIncludeObject(const HttpRequest& request) {
  const std::string_view include = request.Query("includeObject");
  if (include.empty() || include == "Metadata") return IncludeObject::kMetadata;
  if (include == "None") return IncludeObject::kNone;
  if (include == "Object") return IncludeObject::kObject;
  return BadRequestStatus(fmt::format("unrecognized includeObject value: {}", Quoted(include)));
}

std::string RowText(const TableColumns& columns, const store::Object& object, WallTime now,
                    IncludeObject include, const std::string& meta_version,
                    const crd::ResourceType& type) {
  const Json json = ParseStored(object);
  std::string row = R"({"cells":)" + columns.CellsText(json, now);
  switch (include) {
    case IncludeObject::kNone:
      row += R"(,"object":null)";
      break;
    case IncludeObject::kMetadata:
      row += R"(,"object":)" + PartialMetadataText(json, meta_version);
      break;
    case IncludeObject::kObject:
      row += R"(,"object":)" + TextInVersion(object, type);
      break;
  }
  return row += '}';
}

std::string TableText(const std::string& meta_version, const std::string& list_meta,
                      const std::string& definitions, const std::string& rows) {
  return fmt::format(
      R"({{"kind":"Table","apiVersion":"meta.k8s.io/{}","metadata":{},"columnDefinitions":{},"rows":[{}]}})",
      meta_version, list_meta, definitions, rows);
}

std::string RevisionMeta(store::Revision revision) {
  return fmt::format(R"({{"resourceVersion":"{}"}})", revision);
}

}  // namespace

std::string TextInVersion(const store::Object& object, const crd::ResourceType& type) {
  const std::string wanted = type.ApiVersion();
  if (object.api_version == wanted) return object.text;
  Json json = ParseStored(object);
  json["apiVersion"] = wanted;
  return crd::DumpJson(json);
}

std::string ListMetaText(const store::ListResult& list) {
  Json meta = {{"resourceVersion", std::to_string(list.revision)}};
  if (!list.continue_token.empty()) meta["continue"] = list.continue_token;
  if (list.remaining) meta["remainingItemCount"] = *list.remaining;
  return crd::DumpJson(meta);
}

ApiResult<Renderer> Renderer::Make(const HttpRequest& request, crd::ResourceTypePtr type,
                                   const Clock& clock, const Offer& offer) {
  Renderer renderer;
  renderer.type_ = std::move(type);
  renderer.clock_ = &clock;
  renderer.pretty_ = QueryBool(request, "pretty");
  ASSIGN_OR_RETURN(renderer.negotiated_, NegotiateResponse(request.Header("accept"), offer));
  if (renderer.IsTable()) {
    ASSIGN_OR_RETURN(renderer.include_, ParseIncludeObject(request));
  }
  return renderer;
}

std::string Renderer::PartialMetadata(const store::Object& object) const {
  return PartialMetadataText(ParseStored(object), negotiated_.meta_version);
}

void Finish(const Negotiated& negotiated, bool pretty, HttpResponse& response) {
  const bool yaml = negotiated.format == BodyFormat::kYaml;
  if (!yaml && !pretty) return;
  const Result<Json> json =
      crd::ParseJson(response.body, {.depth_max = 200, .bytes_max = SIZE_MAX});
  if (!json.ok()) return;
  response.body = yaml ? crd::DumpYaml(*json) : crd::DumpPrettyJson(*json) + "\n";
  if (yaml) response.content_type = "application/yaml";
}

HttpResponse Renderer::Object(const store::Object& object, int code) const {
  HttpResponse response{.status = code};
  switch (negotiated_.transform) {
    case Transform::kNone:
      response.body = TextInVersion(object, *type_);
      break;
    case Transform::kPartialMetadata:
      response.body = PartialMetadata(object);
      break;
    case Transform::kTable: {
      const TableColumns columns(*type_);
      response.body = TableText(
          negotiated_.meta_version, RevisionMeta(object.meta.revision), columns.DefinitionsText(),
          RowText(columns, object, clock_->WallNow(), include_, negotiated_.meta_version, *type_));
      break;
    }
  }
  Finish(negotiated_, pretty_, response);
  return response;
}

std::string Renderer::ItemsText(const std::vector<store::ObjectPtr>& items) const {
  const TableColumns columns(*type_);
  std::string text;
  for (const store::ObjectPtr& item : items) {
    if (!text.empty()) text += ',';
    switch (negotiated_.transform) {
      case Transform::kNone:
        text +=
            item->api_version == type_->ApiVersion() ? item->text : TextInVersion(*item, *type_);
        break;
      case Transform::kPartialMetadata:
        text += PartialMetadata(*item);
        break;
      case Transform::kTable:
        text +=
            RowText(columns, *item, clock_->WallNow(), include_, negotiated_.meta_version, *type_);
        break;
    }
  }
  return text;
}

HttpResponse Renderer::List(const store::ListResult& list) const {
  HttpResponse response;
  const std::string items = ItemsText(list.items);
  const std::string meta = ListMetaText(list);
  if (IsTable()) {
    response.body =
        TableText(negotiated_.meta_version, meta, TableColumns(*type_).DefinitionsText(), items);
  } else {
    const bool partial = negotiated_.transform == Transform::kPartialMetadata;
    response.body = fmt::format(
        R"({{"kind":{},"apiVersion":{},"metadata":{},"items":[{}]}})",
        Quoted(partial ? "PartialObjectMetadataList" : type_->list_kind),
        Quoted(partial ? "meta.k8s.io/" + negotiated_.meta_version : type_->ApiVersion()), meta,
        items);
  }
  Finish(negotiated_, pretty_, response);
  return response;
}

std::string Renderer::EventObject(const store::Object& object, bool first) const {
  switch (negotiated_.transform) {
    case Transform::kPartialMetadata:
      return PartialMetadata(object);
    case Transform::kTable: {
      const TableColumns columns(*type_);
      return TableText(
          negotiated_.meta_version, RevisionMeta(object.meta.revision),
          first ? columns.DefinitionsText() : "null",
          RowText(columns, object, clock_->WallNow(), include_, negotiated_.meta_version, *type_));
    }
    case Transform::kNone:
      break;
  }
  return TextInVersion(object, *type_);
}

std::string Renderer::BookmarkObject(store::Revision revision, bool initial_events_end) const {
  if (IsTable()) return {};
  const bool partial = negotiated_.transform == Transform::kPartialMetadata;
  Json object = {
      {"kind", partial ? "PartialObjectMetadata" : type_->kind},
      {"apiVersion", partial ? "meta.k8s.io/" + negotiated_.meta_version : type_->ApiVersion()},
      {"metadata", {{"resourceVersion", std::to_string(revision)}}}};
  if (initial_events_end) {
    object["metadata"]["annotations"]["k8s.io/initial-events-end"] = "true";
  }
  return crd::DumpJson(object);
}

}  // namespace forkplane::apiserver
