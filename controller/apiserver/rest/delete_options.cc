// DeleteOptions, strictly: whoever sends one wants something else than a plain deletion, so a part
// that is not understood refuses the request instead of being passed over.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/body.h"
#include "controller/apiserver/rest/option_values.h"
#include "controller/apiserver/rest/options.h"
#include "controller/apiserver/rest/request_info.h"
#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

// Kubernetes 1.32 and later: delete an object although its record cannot be read.
constexpr std::string_view kIgnoreUnreadable = "ignoreStoreReadErrorWithClusterBreakingPotential";

// What body and query may both say; a member of the body replaces the query's.
struct RawDeleteOptions {
  std::vector<std::string> dry_run = {};
  std::optional<std::string> propagation = {};
  std::optional<bool> orphan_dependents = {};
};

ApiStatus WrongType(const std::string& field, std::string_view wanted, const Json& found) {
  return BadFieldStatus(field, fmt::format("must be {}, not {}", wanted, found.type_name()));
}

ApiResult<bool> ReadText(const std::string& field, const Json& value,
                         std::optional<std::string>& text) {
  if (!value.is_string()) return WrongType(field, "a string", value);
  text = value.get<std::string>();
  return true;
}

ApiResult<bool> ReadDryRun(const Json& value, std::vector<std::string>& dry_run) {
  if (!value.is_array()) return WrongType("dryRun", "a list of strings", value);
  dry_run.clear();
  for (const Json& item : value) {
    if (!item.is_string()) return WrongType("dryRun", "a list of strings", item);
    dry_run.push_back(item.get<std::string>());
  }
  return true;
}

// An empty one is a condition too, which no object fulfils.
ApiResult<bool> ReadPreconditions(const Json& value, store::DeleteOptions& options) {
  if (!value.is_object()) return WrongType("preconditions", "an object", value);
  for (const auto& [name, member] : value.items()) {
    if (member.is_null()) continue;
    std::optional<std::string> text;
    if (name == "uid") {
      RETURN_IF_ERROR(ReadText("preconditions.uid", member, options.uid));
    } else if (name == "resourceVersion") {
      RETURN_IF_ERROR(ReadText("preconditions.resourceVersion", member, text));
      ASSIGN_OR_RETURN(options.revision, ParseResourceVersion(*text));
    } else {
      return BadFieldStatus("preconditions." + name, "unknown field");
    }
  }
  return true;
}

ApiResult<bool> ReadMember(const std::string& name, const Json& value, RawDeleteOptions& raw,
                           store::DeleteOptions& options) {
  if (name == "dryRun") return ReadDryRun(value, raw.dry_run);
  if (name == "preconditions") return ReadPreconditions(value, options);
  if (name == "propagationPolicy") return ReadText(name, value, raw.propagation);
  if (name == "orphanDependents") {
    if (!value.is_boolean()) return WrongType(name, "true or false", value);
    raw.orphan_dependents = value.get<bool>();
    return true;
  }
  if (name == kIgnoreUnreadable) {
    if (!value.is_boolean()) return WrongType(name, "true or false", value);
    options.ignore_unreadable = value.get<bool>();
    return true;
  }
  if (name == "gracePeriodSeconds") {  // nothing here has a grace period; upstream takes it as well
    if (!value.is_number_integer()) return WrongType(name, "an integer", value);
    return true;
  }
  if (name == "kind" || name == "apiVersion") return true;  // see CheckOptionsType
  return BadFieldStatus(name, "unknown field of DeleteOptions");
}

// Clients send the kind under v1, meta.k8s.io/v1 or the group of what they delete.
ApiResult<bool> CheckOptionsType(const HttpRequest& request, const Json& body) {
  std::optional<std::string> kind = "DeleteOptions";
  std::optional<std::string> version = "v1";
  if (body.contains("kind")) RETURN_IF_ERROR(ReadText("kind", body["kind"], kind));
  if (body.contains("apiVersion")) {
    RETURN_IF_ERROR(ReadText("apiVersion", body["apiVersion"], version));
  }
  const RequestInfo info = ParseRequestInfo(request);
  const std::string own = info.group.empty() ? info.version : info.group + "/" + info.version;
  const bool known =
      version->empty() || *version == "v1" || *version == "meta.k8s.io/v1" || *version == own;
  if ((kind->empty() || *kind == "DeleteOptions") && known) return true;
  return BadRequestStatus(
      fmt::format("no kind {} is registered for version {}: a deletion takes "
                  "DeleteOptions of v1",
                  Quoted(*kind), Quoted(*version)));
}

ApiResult<bool> ReadBody(const HttpRequest& request, RawDeleteOptions& raw,
                         store::DeleteOptions& options) {
  ASSIGN_OR_RETURN(const DecodedBody body, DecodeBody(request, /*protobuf=*/true));
  if (!body.json->is_object()) return BadRequestStatus("DeleteOptions must be an object");
  if (!body.duplicates.empty()) {
    return BadFieldStatus(body.duplicates.front(), "duplicate field of DeleteOptions");
  }
  RETURN_IF_ERROR(CheckOptionsType(request, *body.json));
  for (const auto& [name, value] : body.json->items()) {
    if (!value.is_null()) RETURN_IF_ERROR(ReadMember(name, value, raw, options));
  }
  return true;
}

ApiResult<bool> SetPropagation(const RawDeleteOptions& raw, store::DeleteOptions& options) {
  using store::Propagation;
  static const std::map<std::string_view, Propagation> policies = {
      {"Background", Propagation::kBackground},
      {"Foreground", Propagation::kForeground},
      {"Orphan", Propagation::kOrphan}};
  if (!raw.propagation) {
    if (raw.orphan_dependents) {
      options.propagation =
          *raw.orphan_dependents ? Propagation::kOrphan : Propagation::kBackground;
    }
    return true;
  }
  if (raw.orphan_dependents) {
    return InvalidOptions(
        "DeleteOptions",
        {"FieldValueInvalid", "propagationPolicy",
         fmt::format("Invalid value: {}: orphanDependents and deletionPropagation cannot be both "
                     "set",
                     Quoted(*raw.propagation))});
  }
  const auto it = policies.find(*raw.propagation);
  if (it == policies.end()) {
    return UnsupportedOption("DeleteOptions", "propagationPolicy", *raw.propagation,
                             R"("Foreground", "Background", "Orphan", "nil")");
  }
  options.propagation = it->second;
  return true;
}

// Of a collection the selectors too: a misspelled one would delete what it was to spare.
ApiResult<bool> CheckQuery(const HttpRequest& request) {
  std::vector<std::string_view> known = {
      kIgnoreUnreadable, "dryRun",  "gracePeriodSeconds", "orphanDependents", "propagationPolicy",
      "pretty",          "timeout", "fieldManager",       "fieldValidation"};
  if (ParseRequestInfo(request).verb == "deletecollection") {
    known.insert(known.end(), {"allowWatchBookmarks", "continue", "fieldSelector", "labelSelector",
                               "limit", "resourceVersion", "resourceVersionMatch",
                               "sendInitialEvents", "timeoutSeconds", "watch"});
  }
  RETURN_IF_ERROR(CheckParameters(request, known, Unknown::kRefused));
  const std::string_view grace = request.Query("gracePeriodSeconds");
  if (!grace.empty()) RETURN_IF_ERROR(ParseInteger(grace, "gracePeriodSeconds"));
  return true;
}

}  // namespace

ApiResult<store::DeleteOptions> ParseDeleteOptions(const HttpRequest& request) {
  RETURN_IF_ERROR(CheckQuery(request));
  store::DeleteOptions options;
  RawDeleteOptions raw{.dry_run = QueryAll(request, "dryRun")};
  if (const std::string_view policy = request.Query("propagationPolicy"); !policy.empty()) {
    raw.propagation = policy;
  }
  if (request.query.contains("orphanDependents")) {
    raw.orphan_dependents = QueryBool(request, "orphanDependents");
  }
  if (request.query.contains(std::string(kIgnoreUnreadable))) {
    options.ignore_unreadable = QueryBool(request, std::string(kIgnoreUnreadable));
  }
  if (!request.body.empty()) RETURN_IF_ERROR(ReadBody(request, raw, options));
  ASSIGN_OR_RETURN(options.dry_run, ParseDryRun(raw.dry_run, "DeleteOptions"));
  RETURN_IF_ERROR(SetPropagation(raw, options));
  return options;
}

}  // namespace forkplane::apiserver
