// What the plain listener of --metrics-listen serves: /metrics and /healthz, nothing that could
// tell a secret.
#pragma once

#include "controller/apiserver/http.h"
#include "controller/base/metrics.h"

namespace forkplane::apiserver {

// Thread-safe. The registry must outlive it.
class MetricsHandler final : public HttpHandler {
 public:
  explicit MetricsHandler(const metrics::Registry& registry) : registry_(registry) {}
  HttpResponse Handle(const HttpRequest& request) override;

 private:
  const metrics::Registry& registry_;
};

}  // namespace forkplane::apiserver
