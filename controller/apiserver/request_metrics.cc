#include "controller/apiserver/request_metrics.h"

namespace forkplane::apiserver {
namespace {

// Upper case, as upstream's label; an unknown method is "OTHER".
std::string VerbLabel(const std::string& verb) {
  static const std::map<std::string, std::string> labels = {
      {"get", "GET"},
      {"list", "LIST"},
      {"watch", "WATCH"},
      {"create", "POST"},
      {"update", "PUT"},
      {"patch", "PATCH"},
      {"delete", "DELETE"},
      {"post", "POST"},
      {"put", "PUT"},
      {"head", "HEAD"},
      {"deletecollection", "DELETECOLLECTION"}};
  const auto it = labels.find(verb);
  return it == labels.end() ? "OTHER" : it->second;
}

}  // namespace

metrics::Counter RequestMetrics::CounterFor(const Key& key) {
  MutexLock lock(mu_);
  const auto it = counters_.find(key);
  if (it != counters_.end()) return it->second;
  const auto& [verb, resource, code] = key;
  return counters_
      .emplace(key, registry_.AddCounter(
                        "apiserver_request_total", "API requests answered, by verb and code.",
                        {{"verb", verb}, {"resource", resource}, {"code", std::to_string(code)}}))
      .first->second;
}

metrics::Histogram RequestMetrics::HistogramFor(const std::string& verb) {
  MutexLock lock(mu_);
  const auto it = histograms_.find(verb);
  if (it != histograms_.end()) return it->second;
  return histograms_
      .emplace(verb, registry_.AddHistogram("apiserver_request_duration_seconds",
                                            "Time to answer an API request, without streams.",
                                            {{"verb", verb}}))
      .first->second;
}

RequestMetrics::Timer RequestMetrics::Start(const RequestInfo& info, bool served) {
  return {*this, VerbLabel(info.verb), served ? info.resource : std::string(), clock_.Now()};
}

void RequestMetrics::Timer::Finish(const HttpResponse& response) {
  metrics_.CounterFor({verb_, resource_, response.status}).Increment();
  if (response.stream) return;
  const std::chrono::duration<double> took = metrics_.clock_.Now() - start_;
  metrics_.HistogramFor(verb_).Observe(took.count());
}

}  // namespace forkplane::apiserver
