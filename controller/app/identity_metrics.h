// What the TAP programs did, as metrics: forkplane_identity_drops_total{reason} and
// forkplane_dhcp_answers_total.
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
  // By DropReason; the last are the DHCP answers.
  using Counts = std::array<std::uint64_t, drivers::kDropReasons + 1>;

  using CountsByIndex = std::map<std::uint32_t, Counts>;

  Result<CountsByIndex> Read();
  void Count(CountsByIndex now) REQUIRES(mu_);

  drivers::IdentityDriver& identities_;
  std::array<metrics::Counter, drivers::kDropReasons + 1> counters_;
  Mutex mu_;
  bool is_looking_ GUARDED_BY(mu_) = false;
  bool has_start_ GUARDED_BY(mu_) = false;
  CountsByIndex last_ GUARDED_BY(mu_);
};

}  // namespace forkplane::app
