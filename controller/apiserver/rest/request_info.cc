#include "controller/apiserver/rest/request_info.h"

#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {
namespace {

// Segments after the group version: [namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE]].
bool ParseResource(std::vector<std::string> rest, RequestInfo& info) {
  if (rest.empty()) return false;
  const bool namespaced =
      rest[0] == "namespaces" && rest.size() >= 3 &&
      // These two are subresources of a Namespace, not kinds inside one.
      !(info.group.empty() && rest.size() == 3 && (rest[2] == "status" || rest[2] == "finalize"));
  if (namespaced) {
    info.namespace_name = rest[1];
    rest.erase(rest.begin(), rest.begin() + 2);
  }
  if (rest.size() > 3) return false;
  info.resource = rest[0];
  if (rest.size() > 1) info.name = rest[1];
  if (rest.size() > 2) info.subresource = rest[2];
  return true;
}

std::string VerbOf(const HttpRequest& request, const RequestInfo& info) {
  const bool named = !info.name.empty();
  if (request.method == "GET" || request.method == "HEAD") {
    if (named) return "get";  // ?watch on a named object is no watch
    return QueryBool(request, "watch") ? "watch" : "list";
  }
  if (request.method == "POST") return "create";
  if (request.method == "PUT") return "update";
  if (request.method == "PATCH") return "patch";
  if (request.method == "DELETE") return named ? "delete" : "deletecollection";
  return Lower(request.method);
}

}  // namespace

bool QueryBool(const HttpRequest& request, const std::string& name) {
  const auto it = request.query.find(name);
  if (it == request.query.end()) return false;
  return it->second != "0" && Lower(it->second) != "false";
}

RequestInfo ParseRequestInfo(const HttpRequest& request) {
  RequestInfo info;
  info.verb = Lower(request.method);
  const std::vector<std::string>& path = request.segments;
  std::size_t used = 0;
  if (path.size() >= 3 && path[0] == "api") {
    info.version = path[1];
    used = 2;
  } else if (path.size() >= 4 && path[0] == "apis") {
    info.group = path[1];
    info.version = path[2];
    used = 3;
  } else {
    return info;
  }
  info.is_resource =
      ParseResource({path.begin() + static_cast<std::ptrdiff_t>(used), path.end()}, info);
  if (info.is_resource) info.verb = VerbOf(request, info);
  return info;
}

}  // namespace forkplane::apiserver
