// The Kubernetes API: discovery, OpenAPI, CRUD, patch, watch, Tables, health, debug; a general
// CustomResourceDefinition server over the type registry and the object store. Knows nothing of
// sockets: http_server.h calls Handle.
//
// NOTE Threading: Handle may run on any number of threads; a watch keeps its thread. What the
//   options name must outlive the server.
// NOTE Identity: the request's client certificate. Group system:masters may do everything; anybody
//   else sees /version, /healthz, /livez and /readyz, may ask about themselves when they have a
//   certificate, and gets 401 (anonymous) or 403.
// NOTE Metrics: apiserver_request_total{verb,resource,code},
//   apiserver_request_duration_seconds{verb}, apiserver_longrunning_requests. Long-running requests
//   are counted at their start and have no duration.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/apiserver/debug_source.h"
#include "controller/apiserver/http/http.h"
#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

// One line of /livez and /readyz. An error makes the answer 500; its text goes to the log only.
struct HealthCheck {
  std::string name;
  bool live = false;  // also part of /livez; /readyz and /healthz have them all
  std::function<Status()> check;
};

struct ApiServerOptions {
  store::ObjectStore& store;
  crd::TypeRegistry& registry;
  Clock& clock;
  metrics::Registry& metrics;
  DebugSource* debug = nullptr;  // null: /debug answers 404
  // "ping" and "store" are always there.
  std::vector<HealthCheck> checks = {};
  // More are answered 429: each holds a connection, its thread and two descriptors.
  std::size_t watches_max = 3584;
  std::string version = "v1.32.0+forkplane";  // gitVersion of /version; must stay semver
};

class ApiServer final : public HttpHandler {
 public:
  explicit ApiServer(ApiServerOptions options);
  ~ApiServer() override;

  // 401 or 403 by certificate, verb and URL, so that nobody who may not makes us read a body.
  std::optional<HttpResponse> Refuse(const HttpRequest& request) override;
  // Does not rely on Refuse having been asked.
  HttpResponse Handle(const HttpRequest& request) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forkplane::apiserver
