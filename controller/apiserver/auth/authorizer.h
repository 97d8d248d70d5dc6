// Who is asking and whether they may. Today: the holders of a certificate in group system:masters
// may do everything, everybody with a certificate may ask about themselves, everybody at all may
// see version and health.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/request_info.h"

namespace forkplane::apiserver {

// What somebody wants to do: with a resource, or, when `path` is set, with a path outside of them.
struct Attributes {
  std::string verb;
  std::string group = {};
  std::string resource = {};  // "virtualmachines", "virtualmachines/status"
  std::string path = {};      // "/healthz"
};

// What somebody may do. "*" stands for all; a path may end in it.
struct ResourceRule {
  std::vector<std::string> verbs;
  std::vector<std::string> groups;
  std::vector<std::string> resources;
};
struct PathRule {
  std::vector<std::string> verbs;
  std::vector<std::string> paths;
};
struct Rules {
  std::vector<ResourceRule> resources;
  std::vector<PathRule> paths;
};

// The same in every namespace. `who`: none is somebody without a certificate.
Rules RulesOf(const std::optional<TlsPeer>& who);
bool MayDo(const std::optional<TlsPeer>& who, const Attributes& what);

// The refusal: 401 without an identity, 403 with one that lacks the right; none: go on.
std::optional<ApiStatus> Authorize(const HttpRequest& request, const RequestInfo& info);

}  // namespace forkplane::apiserver
