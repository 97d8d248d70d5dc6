#include "reconcilers/shaping/metrics.h"

#include <string>
#include <vector>

namespace forkplane::shaping {
namespace {

std::vector<double> LagBuckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}

}  // namespace

Metrics::Metrics(metrics::Registry* registry, const Clock& clock) : clock_(clock) {
  for (const std::string_view reason : kUnshapedReasons) {
    unshaped_[reason] =
        registry == nullptr
            ? metrics::Gauge()
            : registry->AddGauge("forkplane_shaping_unshaped_interfaces",
                                 "active interfaces whose rates in the kernel are not as specified",
                                 {{"reason", std::string(reason)}});
  }
  if (registry == nullptr) return;
  lag_ = registry->AddHistogram(
      "forkplane_shaping_lag_seconds",
      "from the moment a shape was asked for to the pass that saw it fulfilled in the kernel", {},
      LagBuckets());
}

void Metrics::SetReason(Record& record, std::string_view reason) {
  if (record.reason == reason) return;
  if (const auto left = unshaped_.find(record.reason); left != unshaped_.end()) {
    left->second.Add(-1);
  }
  const auto entered = unshaped_.find(reason);
  if (entered != unshaped_.end()) entered->second.Add(1);
  record.reason = entered == unshaped_.end() ? std::string_view() : entered->first;
}

void Metrics::Learn(ledger::LeaseId lease) {
  const MonotonicTime now = clock_.Now();
  const MutexLock lock(mu_);
  Record& record = records_[lease];
  if (!record.learned) record.learned = now;
  SetReason(record, kPending);
}

void Metrics::Saw(ledger::LeaseId lease, const Rates& rates, std::string_view shortfall,
                  MonotonicTime looked) {
  const MonotonicTime now = clock_.Now();
  const MutexLock lock(mu_);
  Record& record = records_[lease];
  if (record.learned && *record.learned > looked) return;
  SetReason(record, shortfall);
  if (!shortfall.empty()) return;
  if (record.learned && record.rates != rates) {
    lag_.Observe(std::chrono::duration<double>(now - *record.learned).count());
  }
  record.learned.reset();
  record.rates = rates;
}

void Metrics::Failed(ledger::LeaseId lease) {
  const MutexLock lock(mu_);
  SetReason(records_[lease], kRetrying);
}

void Metrics::Forget(ledger::LeaseId lease) {
  const MutexLock lock(mu_);
  const auto it = records_.find(lease);
  if (it == records_.end()) return;
  SetReason(it->second, {});
  records_.erase(it);
}

}  // namespace forkplane::shaping
