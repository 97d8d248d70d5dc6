// What the plain listener of --metrics-listen serves: /metrics and /healthz, nothing that could
// tell a secret.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "controller/apiserver/http/http.h"
#include "controller/base/metrics.h"

namespace forkplane::apiserver {

// Thread-safe. The registry must outlive it. `before_scrape` brings up to date what is only known
// by looking (ages, the kernel's counters): it is called before every /metrics, by many threads at
// once.
class MetricsHandler final : public HttpHandler {
 public:
  explicit MetricsHandler(const metrics::Registry& registry,
                          std::function<void()> before_scrape = {})
      : registry_(registry), before_scrape_(std::move(before_scrape)) {}
  std::optional<HttpResponse> Refuse(const HttpRequest& request) override;
  HttpResponse Handle(const HttpRequest& request) override;

 private:
  const metrics::Registry& registry_;
  const std::function<void()> before_scrape_;
};

}  // namespace forkplane::apiserver
