#include "drivers/trace/trace.h"

#include <chrono>

namespace forkplane::trace {
namespace {

// Driver calls do not nest within a thread.
thread_local MonotonicTime started;

}  // namespace

std::optional<Error> CallMetrics::Before(const drivers::CallInfo&, const std::function<void()>&) {
  started = clock_.Now();
  return std::nullopt;
}

std::optional<Error> CallMetrics::After(const drivers::CallInfo& call, const Error* error) {
  const std::chrono::duration<double> seconds = clock_.Now() - started;
  HistogramOf(call, error == nullptr ? "Ok" : ToString(error->code)).Observe(seconds.count());
  return std::nullopt;
}

metrics::Histogram CallMetrics::HistogramOf(const drivers::CallInfo& call, std::string_view code) {
  const auto key =
      std::make_tuple(std::string(call.driver), std::string(call.op), std::string(code));
  const MutexLock lock(mutex_);
  const auto found = histograms_.find(key);
  if (found != histograms_.end()) return found->second;
  const metrics::Histogram made = registry_.AddHistogram(
      "forkplane_driver_call_duration_seconds", "Time of calls to the kernel and other drivers.",
      {{"driver", call.driver}, {"op", call.op}, {"code", std::string(code)}});
  histograms_.emplace(key, made);
  return made;
}

}  // namespace forkplane::trace
