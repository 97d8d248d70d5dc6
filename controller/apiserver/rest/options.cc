#include "controller/apiserver/rest/options.h"

#include <algorithm>

#include "controller/apiserver/rest/option_values.h"
#include "controller/apiserver/rest/request_info.h"

namespace forkplane::apiserver {
namespace {

ApiStatus ForbiddenOption(std::string_view field, std::string_view why) {
  return InvalidOptions("ListOptions", {"FieldValueForbidden", std::string(field),
                                        fmt::format("Forbidden: {}", why)});
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

}  // namespace

ApiResult<WriteQuery> ParseWriteQuery(const HttpRequest& request, std::string_view options_kind) {
  RETURN_IF_ERROR(CheckParameters(
      request, {"dryRun", "fieldManager", "fieldValidation", "force", "pretty", "timeout"},
      Unknown::kMisspelled));
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

}  // namespace forkplane::apiserver
