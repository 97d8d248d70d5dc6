// The API side of the daemon: the object store below, HTTP above, and the loops an API server
// needs. Knows nothing of the host.
//
// NOTE Lifecycle: Open reads the store; Serve opens the ports (nothing is reachable before); Stop
// closes the ports, then the loops; the store is closed by the destructor, so that whoever still
// writes status may finish.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controller/apiserver/api_server.h"
#include "controller/apiserver/debug_source.h"
#include "controller/apiserver/http/http_server.h"
#include "controller/apiserver/http/metrics_handler.h"
#include "controller/apiserver/loops/background.h"
#include "controller/app/options.h"
#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/result.h"
#include "controller/base/rng.h"
#include "controller/store/local_object_store.h"
#include "controller/store/revision_log.h"
#include "crd/type_registry.h"

namespace forkplane::app {

using WrapLog =
    std::function<std::unique_ptr<store::RevisionLog>(std::unique_ptr<store::RevisionLog>)>;

class ApiLayer {
 public:
  // What is passed by reference outlives the layer.
  static Result<std::unique_ptr<ApiLayer>> Open(const Options& options, Clock& clock, Rng& rng,
                                                metrics::Registry& metrics,
                                                const WrapLog& wrap_log = {});
  ~ApiLayer();

  // Starts the background loops, makes certificates and kubeconfig, opens the ports.
  // `before_scrape`: see MetricsHandler. `tell`: see BackgroundOptions.
  Status Serve(apiserver::DebugSource& debug, std::vector<apiserver::HealthCheck> checks,
               std::function<void()> before_scrape, apiserver::Tell tell);
  void Stop();

  store::LocalObjectStore& objects() { return *objects_; }
  const crd::TypeRegistry& types() const { return *types_; }
  // "https://127.0.0.1:6443", after Serve.
  const std::string& url() const { return url_; }

 private:
  ApiLayer(const Options& options, Clock& clock, metrics::Registry& metrics)
      : options_(options), clock_(clock), metrics_(metrics) {}
  Status ServeApi();
  Status ServeMetrics(std::function<void()> before_scrape);

  const Options& options_;
  Clock& clock_;
  metrics::Registry& metrics_;
  std::string url_;
  // Destroyed from the bottom up: ports, API, loops, store, types.
  std::unique_ptr<crd::TypeRegistry> types_;
  std::unique_ptr<store::LocalObjectStore> objects_;
  std::unique_ptr<apiserver::Background> background_;
  std::unique_ptr<apiserver::ApiServer> api_;
  std::unique_ptr<apiserver::MetricsHandler> metrics_handler_;
  std::unique_ptr<apiserver::HttpServer> api_port_;
  std::unique_ptr<apiserver::HttpServer> metrics_port_;
};

}  // namespace forkplane::app
