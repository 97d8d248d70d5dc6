// Metrics of every driver call: forkplane_driver_call_duration_seconds{driver,op,code}, where code
// is "Ok" or the error's. One hook serves all decorators of a host.
//
// NOTE Threading: thread-safe. NOTE Performance: two clock readings and a map look-up under a lock.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "drivers/call_hook.h"

namespace forkplane::trace {

class CallMetrics final : public drivers::CallHook {
 public:
  CallMetrics(metrics::Registry& registry, Clock& clock) : registry_(registry), clock_(clock) {}

  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>& perform) override;
  std::optional<Error> After(const drivers::CallInfo& call, const Error* error) override;

 private:
  metrics::Histogram HistogramOf(const drivers::CallInfo& call, std::string_view code)
      EXCLUDES(mutex_);

  metrics::Registry& registry_;
  Clock& clock_;
  Mutex mutex_;
  std::map<std::tuple<std::string, std::string, std::string>, metrics::Histogram> histograms_
      GUARDED_BY(mutex_);
};

}  // namespace forkplane::trace
