// Watches: one JSON event per line, for as long as the client stays, the store can follow and the
// timeout allows.
//
// NOTE Threading: Watch runs on the request's thread; the stream function it returns keeps that
//   connection's thread until the watch ends. The store, clock and gauge must outlive the server.
#pragma once

#include "controller/apiserver/rest/request_context.h"
#include "controller/base/clock.h"
#include "controller/base/metrics.h"

namespace forkplane::apiserver {

class WatchHandler {
 public:
  WatchHandler(store::ObjectStore& store, Clock& clock, metrics::Gauge active)
      : store_(store), clock_(clock), active_(active) {}

  ApiResult<HttpResponse> Watch(const RequestContext& context);

 private:
  store::ObjectStore& store_;
  Clock& clock_;
  metrics::Gauge active_;
};

}  // namespace forkplane::apiserver
