// What the TAP programs dropped, as metrics: forkplane_identity_drops_total{reason}.
//
// The kernel counts per interface, and an interface's counters go with it; a metric must not fall.
// So every scrape adds what grew since the last one. What was counted before this daemon started is
// left out: else each restart would look like a burst of spoofed packets.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "drivers/identity_driver.h"

namespace forkplane::app {

// NOTE Threading: thread-safe. `identities` outlives it.
// NOTE Performance: 2 us for each interface.
class IdentityMetrics {
 public:
  IdentityMetrics(drivers::IdentityDriver& identities, metrics::Registry& registry);

  // To be called before each scrape. An error of the driver leaves the metric as it was; the next
  // scrape catches up. One look at a time: who comes meanwhile is served what is known.
  void Refresh() EXCLUDES(mu_);

 private:
  using Drops = std::array<std::uint64_t, drivers::kDropReasons>;

  using DropsByIndex = std::map<std::uint32_t, Drops>;

  Result<DropsByIndex> Read();
  void Count(DropsByIndex now) REQUIRES(mu_);

  drivers::IdentityDriver& identities_;
  std::array<metrics::Counter, drivers::kDropReasons> counters_;
  Mutex mu_;
  bool is_looking_ GUARDED_BY(mu_) = false;
  bool has_start_ GUARDED_BY(mu_) = false;
  DropsByIndex last_ GUARDED_BY(mu_);
};

}  // namespace forkplane::app
