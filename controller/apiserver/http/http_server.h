// The listening socket and its connections: TLS or plain, one thread each, bounded.
//
// Lifecycle: Start binds, listens and returns; Stop (or the destructor) stops accepting, wakes
// every idle connection and every stream (whose function sees kClosed and whose client sees a clean
// last chunk), lets requests in flight be answered, and joins all threads.
//
// NOTE Threading: all methods from one thread; the handler is called on connection threads.
// NOTE Performance: an idle connection sleeps in poll(2), without a timer, and gives the stack of
// its handshake back after a second; a TLS watch then costs less than 96 KiB
// (e2e_flows:descriptors).
// NOTE Monitoring: forkplane_http_* (docs/metrics.md), labelled by the listener's name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/http/http_reader.h"
#include "controller/apiserver/http/tls.h"
#include "controller/base/metrics.h"
#include "controller/base/result.h"

namespace forkplane::apiserver {

struct HttpServerOptions {
  std::string name = "api";                    // the metrics' label
  std::string address = "127.0.0.1:6443";      // "[::]:6443", "0.0.0.0:0" (0: any free port)
  std::shared_ptr<const TlsContext> tls = {};  // null: plain
  std::size_t connections_max = 4096;          // more are answered 503
  HttpTimeouts timeouts = {};
  HttpBudget budget = {};
  // For TLS clients that have shown no certificate (a plain listener does not tell them apart).
  // `connections_max` counts them too, and those in their handshake are among these.
  HttpBudget anonymous_budget = kAnonymousBudget;
  std::size_t anonymous_connections_max = 256;  // the oldest is closed for one more
  metrics::Registry* registry = nullptr;        // must outlive the server
};

class HttpServer {
 public:
  // A port in use is an error: nothing else may share it (no SO_REUSEPORT). `handler` must outlive
  // the server.
  static Result<std::unique_ptr<HttpServer>> Start(HttpServerOptions options, HttpHandler& handler);
  virtual ~HttpServer() = default;

  virtual std::uint16_t port() const = 0;
  // Idempotent. Takes as long as the longest request in flight.
  virtual void Stop() = 0;
};

}  // namespace forkplane::apiserver
