#include "controller/apiserver/auth/authorizer.h"

#include <algorithm>

#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {
namespace {

bool IsPublic(const HttpRequest& request) {
  if (request.method != "GET" && request.method != "HEAD") return false;
  if (request.segments.empty()) return false;
  const std::string& first = request.segments.front();
  return (first == "version" && request.segments.size() == 1) || first == "healthz" ||
         first == "livez" || first == "readyz";
}

// `virtualmachines.forkplane.dev is forbidden: User "bob" cannot list resource "virtualmachines" in
// API group "forkplane.dev" in the namespace "default"`
std::string ForbiddenText(const std::string& user, const HttpRequest& request,
                          const RequestInfo& info, const ObjectRef& ref) {
  if (!info.is_resource) {
    return fmt::format("forbidden: User {} cannot {} path {}", Quoted(user), Lower(request.method),
                       Quoted(request.path));
  }
  const std::string what =
      info.subresource.empty() ? info.resource : info.resource + "/" + info.subresource;
  const std::string where = info.namespace_name.empty()
                                ? std::string("at the cluster scope")
                                : "in the namespace " + Quoted(info.namespace_name);
  const std::string named = info.name.empty() ? std::string() : " " + Quoted(info.name);
  return fmt::format("{}{} is forbidden: User {} cannot {} resource {} in API group {} {}",
                     ref.QualifiedResource(), named, Quoted(user), info.verb, Quoted(what),
                     Quoted(info.group), where);
}

}  // namespace

std::optional<ApiStatus> Authorize(const HttpRequest& request, const RequestInfo& info) {
  if (IsPublic(request)) return std::nullopt;
  if (!request.peer) return Unauthorized();
  const std::vector<std::string>& groups = request.peer->organizations;
  const bool impersonates =
      std::any_of(request.headers.begin(), request.headers.end(),
                  [](const auto& header) { return header.first.starts_with("impersonate-"); });
  const ObjectRef ref{
      .group = info.group, .resource = info.resource, .kind = {}, .name = info.name};
  if (impersonates) {
    // Acting as somebody else while rights are all or nothing would be a lie in the audit log.
    return ForbiddenStatus(ref, "impersonation is not supported");
  }
  if (std::find(groups.begin(), groups.end(), "system:masters") != groups.end()) {
    return std::nullopt;
  }
  return ForbiddenStatus(ref, ForbiddenText(request.peer->common_name, request, info, ref));
}

}  // namespace forkplane::apiserver
