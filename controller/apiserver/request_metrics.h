// The request counters of an API server, under upstream's names.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/request_info.h"
#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"

namespace forkplane::apiserver {

// NOTE Threading: any number of threads.
// NOTE Cardinality: verbs and codes are few; `resource` is only ever one that is served (others are
//   counted as ""), so a scanner cannot make series.
class RequestMetrics {
 public:
  class Timer {
   public:
    Timer(RequestMetrics& metrics, std::string verb, std::string resource, MonotonicTime start)
        : metrics_(metrics),
          verb_(std::move(verb)),
          resource_(std::move(resource)),
          start_(start) {}
    // A stream counts when it starts and has no duration.
    void Finish(const HttpResponse& response);

   private:
    RequestMetrics& metrics_;
    std::string verb_;
    std::string resource_;
    MonotonicTime start_;
  };

  RequestMetrics(metrics::Registry& registry, Clock& clock) : registry_(registry), clock_(clock) {}

  // `served`: whether there is such a resource.
  Timer Start(const RequestInfo& info, bool served);

 private:
  using Key = std::tuple<std::string, std::string, int>;  // verb, resource, code

  metrics::Counter CounterFor(const Key& key);
  metrics::Histogram HistogramFor(const std::string& verb);

  metrics::Registry& registry_;
  Clock& clock_;
  Mutex mu_;
  std::map<Key, metrics::Counter> counters_ GUARDED_BY(mu_);
  std::map<std::string, metrics::Histogram> histograms_ GUARDED_BY(mu_);
};

}  // namespace forkplane::apiserver
