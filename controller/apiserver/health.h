// /healthz, /livez, /readyz, whole or check by check, in the words of kube-apiserver.
#pragma once

#include <string>
#include <vector>

#include "controller/apiserver/api_server.h"
#include "controller/apiserver/http/http.h"

namespace forkplane::apiserver {

// NOTE Threading: any number of threads; so must the checks be.
class Health {
 public:
  explicit Health(std::vector<HealthCheck> checks) : checks_(std::move(checks)) {}

  // The request's first segment is one of the three names, a second one names a check.
  HttpResponse Handle(const HttpRequest& request) const;

 private:
  std::vector<HealthCheck> checks_;
};

}  // namespace forkplane::apiserver
