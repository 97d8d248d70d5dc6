#include "controller/apiserver/rest/options.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/body.h"
#include "controller/apiserver/rest/request_info.h"
#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

ApiResult<bool> ParseDryRun(const std::vector<std::string>& values, std::string_view kind) {
  for (const std::string& value : values) {
    if (value == "All") continue;
    return InvalidOptions(
        kind, {"FieldValueNotSupported", "dryRun",
               fmt::format("Unsupported value: []string{{{}}}: supported values: \"All\"",
                           Quoted(value))});
  }
  return !values.empty();
}

std::vector<std::string> QueryAll(const HttpRequest& request, const std::string& name) {
  std::vector<std::string> values;
  const auto [begin, end] = request.query.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    if (!it->second.empty()) values.push_back(it->second);
  }
  return values;
}

ApiResult<std::int64_t> ParseInteger(std::string_view text, std::string_view name) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || at != end) {
    return BadFieldStatus(name, fmt::format("Invalid value: {}: not an integer", Quoted(text)));
  }
  return value;
}

ApiResult<store::Revision> ParseResourceVersion(std::string_view text) {
  store::Revision revision = 0;
  if (!store::ParseRevision(text, &revision)) {
    return BadFieldStatus(
        "resourceVersion",
        fmt::format("Invalid value: {0}: strconv.ParseUint: parsing {0}: invalid syntax",
                    Quoted(text)));
  }
  return revision;
}

ApiStatus ForbiddenOption(std::string_view field, std::string_view why) {
  return InvalidOptions("ListOptions", {"FieldValueForbidden", std::string(field),
                                        fmt::format("Forbidden: {}", why)});
}

ApiStatus UnsupportedOption(std::string_view kind, std::string_view field, std::string_view value,
                            std::string_view supported) {
  return InvalidOptions(
      kind, {"FieldValueNotSupported", std::string(field),
             fmt::format("Unsupported value: {}: supported values: {}", Quoted(value), supported)});
}

// resourceVersionMatch and its friends (ValidateListOptions upstream).
ApiResult<bool> CheckMatch(const HttpRequest& request, bool watch, const ListQuery& query) {
  const std::string_view match = request.Query("resourceVersionMatch");
  const bool send_initial = request.query.contains("sendInitialEvents");
  if (watch && !match.empty() && !send_initial) {
    return ForbiddenOption("resourceVersionMatch", "resourceVersionMatch is forbidden for watch");
  }
  if (!watch && send_initial) {
    return ForbiddenOption("sendInitialEvents", "sendInitialEvents is forbidden for list");
  }
  if (send_initial && match != "NotOlderThan") {
    return ForbiddenOption("resourceVersionMatch",
                           "sendInitialEvents requires setting resourceVersionMatch to "
                           "NotOlderThan");
  }
  if (match.empty()) return false;
  if (match != "Exact" && match != "NotOlderThan") {
    return UnsupportedOption("ListOptions", "resourceVersionMatch", match,
                             R"("Exact", "NotOlderThan", "")");
  }
  if (!query.continue_token.empty()) {
    return ForbiddenOption("resourceVersionMatch",
                           "resourceVersionMatch is forbidden when continue is provided");
  }
  if (!send_initial && !query.revision) {
    return ForbiddenOption("resourceVersionMatch",
                           "resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (match == "Exact" && query.revision == store::Revision{0}) {
    return ForbiddenOption("resourceVersionMatch",
                           "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
  }
  return match == "Exact";
}

ApiResult<bool> ParseSelectors(const HttpRequest& request, ListQuery& query) {
  Result<store::LabelSelector> labels = store::ParseLabelSelector(request.Query("labelSelector"));
  if (!labels.ok()) return BadRequestStatus(labels.error().message);
  query.labels = std::move(labels).value();
  Result<store::FieldSelector> fields = store::ParseFieldSelector(request.Query("fieldSelector"));
  if (!fields.ok()) return BadRequestStatus(fields.error().message);
  query.fields = std::move(fields).value();
  return true;
}

ApiResult<bool> SetPropagation(std::string_view text, store::DeleteOptions& options) {
  using store::Propagation;
  static const std::map<std::string_view, Propagation> policies = {
      {"Background", Propagation::kBackground},
      {"Foreground", Propagation::kForeground},
      {"Orphan", Propagation::kOrphan}};
  const auto it = policies.find(text);
  if (it == policies.end()) {
    return UnsupportedOption("DeleteOptions", "propagationPolicy", text,
                             R"("Foreground", "Background", "Orphan", "nil")");
  }
  options.propagation = it->second;
  return true;
}

std::string_view StringAt(const Json& object, std::string_view name) {
  const Json* value = crd::FindPath(object, name);
  return value != nullptr && value->is_string()
             ? std::string_view(value->get_ref<const std::string&>())
             : std::string_view{};
}

// The body's members of the same names as the query's are copied over the query's.
struct RawDeleteOptions {
  std::vector<std::string> dry_run;
  std::string propagation;
  std::optional<bool> orphan_dependents;
};

ApiResult<bool> ReadDeleteBody(const Json& body, RawDeleteOptions& raw,
                               store::DeleteOptions& options) {
  if (!body.is_object()) return BadRequestStatus("DeleteOptions must be an object");
  if (const Json* dry_run = crd::FindPath(body, "dryRun"); dry_run && dry_run->is_array()) {
    raw.dry_run.clear();
    for (const Json& item : *dry_run) {
      raw.dry_run.push_back(item.is_string() ? item.get<std::string>() : crd::DumpJson(item));
    }
  }
  if (const std::string_view policy = StringAt(body, "propagationPolicy"); !policy.empty()) {
    raw.propagation = policy;
  }
  if (const Json* orphan = crd::FindPath(body, "orphanDependents");
      orphan && orphan->is_boolean()) {
    raw.orphan_dependents = orphan->get<bool>();
  }
  if (const std::string_view uid = StringAt(body, "preconditions.uid"); !uid.empty()) {
    options.uid = uid;
  }
  if (const std::string_view text = StringAt(body, "preconditions.resourceVersion");
      !text.empty()) {
    ASSIGN_OR_RETURN(options.revision, ParseResourceVersion(text));
  }
  return true;
}

}  // namespace

ApiResult<WriteQuery> ParseWriteQuery(const HttpRequest& request, std::string_view options_kind) {
  WriteQuery query;
  ASSIGN_OR_RETURN(query.dry_run, ParseDryRun(QueryAll(request, "dryRun"), options_kind));
  const std::string_view validation = request.Query("fieldValidation");
  if (validation == "Strict") {
    query.validation = FieldValidation::kStrict;
  } else if (validation == "Ignore") {
    query.validation = FieldValidation::kIgnore;
  } else if (!validation.empty() && validation != "Warn") {
    return UnsupportedOption(options_kind, "fieldValidation", validation,
                             R"("", "Ignore", "Strict", "Warn")");
  }
  return query;
}

ApiResult<ListQuery> ParseListQuery(const HttpRequest& request, bool watch) {
  ListQuery query;
  RETURN_IF_ERROR(ParseSelectors(request, query));
  if (const std::string_view limit = request.Query("limit"); !limit.empty()) {
    ASSIGN_OR_RETURN(query.limit, ParseInteger(limit, "limit"));
  }
  query.continue_token = request.Query("continue");
  if (const std::string_view revision = request.Query("resourceVersion"); !revision.empty()) {
    ASSIGN_OR_RETURN(query.revision, ParseResourceVersion(revision));
  }
  ASSIGN_OR_RETURN(query.exact, CheckMatch(request, watch, query));
  if (!query.continue_token.empty() && query.revision.value_or(0) != 0) {
    return BadRequestStatus("specifying resource version is not allowed when using continue");
  }
  query.bookmarks = QueryBool(request, "allowWatchBookmarks");
  query.initial_events = QueryBool(request, "sendInitialEvents");
  if (const std::string_view timeout = request.Query("timeoutSeconds"); watch && !timeout.empty()) {
    ASSIGN_OR_RETURN(const std::int64_t seconds, ParseInteger(timeout, "timeoutSeconds"));
    if (seconds > 0) query.timeout = std::chrono::seconds(std::min<std::int64_t>(seconds, 86400));
  }
  return query;
}

ApiResult<store::DeleteOptions> ParseDeleteOptions(const HttpRequest& request) {
  store::DeleteOptions options;
  RawDeleteOptions raw{.dry_run = QueryAll(request, "dryRun"),
                       .propagation = std::string(request.Query("propagationPolicy")),
                       .orphan_dependents = {}};
  if (request.query.contains("orphanDependents")) {
    raw.orphan_dependents = QueryBool(request, "orphanDependents");
  }
  if (!request.body.empty()) {
    ASSIGN_OR_RETURN(const DecodedBody body, DecodeBody(request, /*protobuf=*/true));
    RETURN_IF_ERROR(ReadDeleteBody(*body.json, raw, options));
  }
  ASSIGN_OR_RETURN(options.dry_run, ParseDryRun(raw.dry_run, "DeleteOptions"));
  if (!raw.propagation.empty()) {
    if (raw.orphan_dependents) {
      return InvalidOptions(
          "DeleteOptions",
          {"FieldValueInvalid", "propagationPolicy",
           fmt::format("Invalid value: {}: orphanDependents and deletionPropagation cannot be both "
                       "set",
                       Quoted(raw.propagation))});
    }
    RETURN_IF_ERROR(SetPropagation(raw.propagation, options));
  } else if (raw.orphan_dependents) {
    options.propagation =
        *raw.orphan_dependents ? store::Propagation::kOrphan : store::Propagation::kBackground;
  }
  return options;
}

}  // namespace forkplane::apiserver
