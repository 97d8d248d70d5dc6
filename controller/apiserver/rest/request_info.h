// Which resource and which verb a request means: the path grammar of the Kubernetes API.
#pragma once

#include <string>
#include <vector>

#include "controller/apiserver/http/http.h"

namespace forkplane::apiserver {

struct RequestInfo {
  // A path below /api/v1 or /apis/GROUP/VERSION with at least a resource; else it is discovery,
  // OpenAPI, health or unknown, and only `verb` (the lower-case method) is set.
  bool is_resource = false;
  std::string verb;  // get list watch create update patch delete deletecollection
  std::string group;
  std::string version;
  std::string namespace_name;  // empty: cluster-scoped, or a list over all namespaces
  std::string resource;        // plural
  std::string name;
  std::string subresource;
};

RequestInfo ParseRequestInfo(const HttpRequest& request);

// How Kubernetes reads a boolean query value: "0" and any "false" are false, all else is true, an
// empty value ("?watch") too. Absent: false.
bool QueryBool(const HttpRequest& request, const std::string& name);

}  // namespace forkplane::apiserver
