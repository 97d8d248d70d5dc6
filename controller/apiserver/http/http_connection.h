// The life of one connection: handshake, then request after request until one side closes, a stream
// ends, something was refused, or the server stops.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/http/http_reader.h"
#include "controller/apiserver/http/httplib_gate.h"
#include "controller/apiserver/http/transport.h"
#include "controller/apiserver/http/unauthenticated_connections.h"
#include "controller/base/metrics.h"

namespace forkplane::apiserver {

// Counters of one listener.
struct HttpMetrics {
  // `registry` may be null.
  HttpMetrics(metrics::Registry* registry, const std::string& listener);

  metrics::Gauge connections;
  metrics::Counter connections_refused;
  metrics::Counter connections_evicted;
  metrics::Counter handshakes_failed;
  metrics::Counter answers[5];  // 1xx (never) to 5xx
};

// What all connections of a server share; outlives them.
struct HttpShared {
  HttpHandler& handler;
  HttplibGate& gate;
  const HttpTimeouts& timeouts;
  const HttpBudget& budget;            // of a client that showed a certificate
  const HttpBudget& anonymous_budget;  // of one that did not
  UnauthenticatedConnections& unauthenticated;
  HttpMetrics& metrics;
  std::atomic<bool>& stopping;
};

// `over_limit`: answers the first request with 503 and closes.
void ServeConnection(HttpShared& shared, Transport& transport, const std::string& remote_address,
                     bool over_limit);

}  // namespace forkplane::apiserver
