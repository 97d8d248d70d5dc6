#include "controller/apiserver/auth/authorizer.h"

#include <algorithm>

#include "controller/apiserver/rest/review_types.h"
#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {
namespace {

bool Names(const std::vector<std::string>& list, std::string_view wanted) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& one) {
    if (!one.ends_with('*')) return one == wanted;
    return wanted.starts_with(std::string_view(one).substr(0, one.size() - 1));
  });
}

// The path as requests are routed by it: decoded, without empty segments. A slash inside of one
// stays encoded, so that it is never taken for one between two.
std::string RoutedPath(const HttpRequest& request) {
  std::string path;
  for (const std::string& segment : request.segments) {
    path += '/';
    for (const char c : segment) {
      if (c == '/') {
        path += "%2F";
      } else {
        path += c;
      }
    }
  }
  return path;
}

Attributes AttributesOf(const HttpRequest& request, const RequestInfo& info) {
  if (!info.is_resource) return {.verb = Lower(request.method), .path = RoutedPath(request)};
  const std::string part = info.subresource.empty() ? "" : "/" + info.subresource;
  return {.verb = info.verb, .group = info.group, .resource = info.resource + part};
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

Rules RulesOf(const std::optional<TlsPeer>& who) {
  Rules rules;
  rules.paths.push_back(
      {{"get", "head"},
       {"/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/version"}});
  if (!who) return rules;
  for (const crd::ResourceTypePtr& type : ReviewTypes()) {
    rules.resources.push_back({{"create"}, {type->group}, {type->plural}});
  }
  const std::vector<std::string>& groups = who->organizations;
  if (std::find(groups.begin(), groups.end(), "system:masters") == groups.end()) return rules;
  rules.resources.push_back({{"*"}, {"*"}, {"*"}});
  rules.paths.push_back({{"*"}, {"*"}});
  return rules;
}

bool MayDo(const std::optional<TlsPeer>& who, const Attributes& what) {
  const Rules rules = RulesOf(who);
  if (!what.path.empty() || what.resource.empty()) {
    return std::any_of(rules.paths.begin(), rules.paths.end(), [&](const PathRule& rule) {
      return Names(rule.verbs, what.verb) && Names(rule.paths, what.path);
    });
  }
  return std::any_of(rules.resources.begin(), rules.resources.end(), [&](const ResourceRule& rule) {
    return Names(rule.verbs, what.verb) && Names(rule.groups, what.group) &&
           Names(rule.resources, what.resource);
  });
}

std::optional<ApiStatus> Authorize(const HttpRequest& request, const RequestInfo& info) {
  const bool may = MayDo(request.peer, AttributesOf(request, info));
  if (may && MayDo(std::nullopt, AttributesOf(request, info))) return std::nullopt;
  if (!request.peer) return Unauthorized();
  const bool impersonates =
      std::any_of(request.headers.begin(), request.headers.end(),
                  [](const auto& header) { return header.first.starts_with("impersonate-"); });
  const ObjectRef ref{
      .group = info.group, .resource = info.resource, .kind = {}, .name = info.name};
  if (impersonates) {
    // Acting as somebody else while rights are all or nothing would be a lie in the audit log.
    return ForbiddenStatus(ref, "impersonation is not supported");
  }
  if (may) return std::nullopt;
  return ForbiddenStatus(ref, ForbiddenText(request.peer->common_name, request, info, ref));
}

}  // namespace forkplane::apiserver
