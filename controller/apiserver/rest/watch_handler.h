// Watches: one JSON event per line, for as long as the client stays, the store can follow and the
// timeout allows.
//
// NOTE Threading: Watch runs on the request's thread; the stream function it returns keeps that
//   connection's thread until the watch ends. The store, clock and gauge must outlive the server.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "controller/apiserver/rest/request_context.h"
#include "controller/base/clock.h"
#include "controller/base/metrics.h"

namespace forkplane::apiserver {

struct WatchMetrics {
  WatchMetrics(metrics::Registry& registry, std::size_t watches_max);
  metrics::Gauge active;
  metrics::Counter refused;
};

class WatchHandler {
 public:
  // More than `watches_max` at a time are answered 429.
  WatchHandler(store::ObjectStore& store, Clock& clock, metrics::Registry& registry,
               std::size_t watches_max)
      : store_(store), clock_(clock), metrics_(registry, watches_max), watches_max_(watches_max) {}

  ApiResult<HttpResponse> Watch(const RequestContext& context);

 private:
  // A place among the watches, given back when the last copy goes; null: none is free.
  std::shared_ptr<void> TakePlace();

  store::ObjectStore& store_;
  Clock& clock_;
  WatchMetrics metrics_;
  const std::size_t watches_max_;
  std::atomic<std::size_t> watches_{0};
};

}  // namespace forkplane::apiserver
