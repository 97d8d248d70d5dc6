#include "controller/apiserver/auth/reviews.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/auth/authorizer.h"
#include "controller/apiserver/rest/body.h"
#include "controller/apiserver/rest/negotiation.h"
#include "controller/apiserver/rest/render.h"
#include "crd/json_members.h"

namespace forkplane::apiserver {

using crd::Json;
using crd::TextAt;
using crd::TextOf;

namespace {

// An answer has one form, in JSON or YAML.
constexpr Offer kPlainOnly{.table = false, .partial = false};

ApiResult<Json> AccessStatus(const RequestContext& context, const Json& review) {
  const Json* resource = crd::FindPath(review, "spec.resourceAttributes");
  const Json* path = crd::FindPath(review, "spec.nonResourceAttributes");
  const bool asks_resource = resource != nullptr && resource->is_object();
  const bool asks_path = path != nullptr && path->is_object();
  if (asks_resource == asks_path) {
    return InvalidObject(context.Ref(), {{"FieldValueInvalid", "spec.resourceAttributes",
                                          "Invalid value: exactly one of nonResourceAttributes or "
                                          "resourceAttributes must be specified"}});
  }
  Attributes what{.verb = TextOf(asks_path ? *path : *resource, "verb")};
  if (asks_path) {
    what.path = TextOf(*path, "path");
  } else {
    const std::string part = TextOf(*resource, "subresource");
    what.group = TextOf(*resource, "group");
    what.resource = TextOf(*resource, "resource") + (part.empty() ? "" : "/" + part);
  }
  const bool allowed = MayDo(context.http.peer, what);
  return Json{{"allowed", allowed},
              {"reason", allowed ? "the rules for the groups of the certificate allow it"
                                 : "no rule for the groups of the certificate allows it"}};
}

ApiResult<Json> RulesStatus(const RequestContext& context, const Json& review) {
  if (TextAt(review, "spec.namespace").empty()) return BadRequestStatus("no namespace on request");
  const Rules rules = RulesOf(context.http.peer);
  Json status = {
      {"resourceRules", Json::array()}, {"nonResourceRules", Json::array()}, {"incomplete", false}};
  for (const ResourceRule& rule : rules.resources) {
    status["resourceRules"].push_back(
        {{"verbs", rule.verbs}, {"apiGroups", rule.groups}, {"resources", rule.resources}});
  }
  for (const PathRule& rule : rules.paths) {
    status["nonResourceRules"].push_back({{"verbs", rule.verbs}, {"nonResourceURLs", rule.paths}});
  }
  return status;
}

// Whoever has a certificate is in system:authenticated besides the groups it names.
ApiResult<Json> IdentityStatus(const RequestContext& context) {
  const TlsPeer peer = context.http.peer.value_or(TlsPeer{"system:anonymous", {}});
  std::vector<std::string> groups = peer.organizations;
  groups.emplace_back(context.http.peer ? "system:authenticated" : "system:unauthenticated");
  return Json{{"userInfo", {{"username", peer.common_name}, {"groups", groups}}}};
}

ApiResult<Json> StatusOf(const RequestContext& context, const Json& review) {
  if (context.type->kind == "SelfSubjectAccessReview") return AccessStatus(context, review);
  if (context.type->kind == "SelfSubjectRulesReview") return RulesStatus(context, review);
  return IdentityStatus(context);
}

}  // namespace

ApiResult<HttpResponse> AnswerReview(const RequestContext& context) {
  const RequestInfo& info = context.info;
  if (!info.namespace_name.empty() || !info.name.empty()) return NoSuchPath();
  if (info.verb != "create") return MethodNotAllowed(context.Ref(""), info.verb);
  ASSIGN_OR_RETURN(const Negotiated negotiated,
                   NegotiateResponse(context.http.Header("accept"), kPlainOnly));
  RETURN_IF_ERROR(ParseWriteQuery(context.http, "CreateOptions"));
  ASSIGN_OR_RETURN(const DecodedBody body, DecodeObject(context.http, *context.type));
  Json& review = *body.json;
  ASSIGN_OR_RETURN(review["status"], StatusOf(context, review));
  HttpResponse response{.status = 201, .body = crd::DumpJson(review)};
  Finish(negotiated, /*pretty=*/false, response);
  return response;
}

}  // namespace forkplane::apiserver
