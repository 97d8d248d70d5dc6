// How far shaping is behind: forkplane_shaping_unshaped_interfaces{reason} and
// forkplane_shaping_lag_seconds.
//
// The lag is that of one interface and one shape: from Learn (its lease was committed, or the spec
// of its VM or Network has changed) to the pass that saw the kernel equal to the shape. What was
// learned changed nothing when the interface was seen equal to the very same rates before: that is
// no lag. Of several shapes that none was seen for, the first counts.
//
// NOTE Restart: a lease that is there at the start was not learned; its first pass is no lag.
// NOTE Threading: thread-safe.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string_view>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/ledger/records.h"
#include "reconcilers/shaping/plan.h"

namespace forkplane::shaping {

// Why an interface is unshaped: those of Shortfall but Releasing, and two that no look told.
inline constexpr std::string_view kPending = "Pending";    // learned, and not looked at since
inline constexpr std::string_view kRetrying = "Retrying";  // the pass failed
inline constexpr std::array<std::string_view, 7> kUnshapedReasons = {
    kPending,        kRetrying,      "VirtualMachineUnknown", "WaitingForUplink",
    "WaitingForTap", "ClassDiffers", "BucketDiffers"};

class Metrics {
 public:
  // Without a registry it counts nowhere. `clock` outlives it.
  Metrics(metrics::Registry* registry, const Clock& clock);

  MonotonicTime Now() const { return clock_.Now(); }

  // From now on the interface may be wished otherwise.
  void Learn(ledger::LeaseId lease) EXCLUDES(mu_);
  // What a look that began at `looked` found of an active lease. `shortfall` is empty when the
  // kernel holds `rates`. What was learned after the look is not answered by it.
  void Saw(ledger::LeaseId lease, const Rates& rates, std::string_view shortfall,
           MonotonicTime looked) EXCLUDES(mu_);
  void Failed(ledger::LeaseId lease) EXCLUDES(mu_);
  // No longer active.
  void Forget(ledger::LeaseId lease) EXCLUDES(mu_);

 private:
  struct Record {
    std::string_view reason;               // one of the above; empty: shaped
    std::optional<MonotonicTime> learned;  // not answered yet
    std::optional<Rates> rates;            // as last seen in the kernel
  };

  void SetReason(Record& record, std::string_view reason) REQUIRES(mu_);

  const Clock& clock_;
  std::map<std::string_view, metrics::Gauge> unshaped_;  // by reason
  metrics::Histogram lag_;
  Mutex mu_;
  std::map<ledger::LeaseId, Record> records_ GUARDED_BY(mu_);
};

}  // namespace forkplane::shaping
