// Traffic of single interfaces, for --interface-metrics=N: forkplane_interface_bytes_total,
// forkplane_interface_packets_total, forkplane_interface_drops_total {namespace, name, interface,
// direction} and forkplane_interface_metrics_dropped.
//
// The kernel's own counters (class: upload, TBF: download), read at each scrape: one list of the
// qdiscs and one of the classes per IFB. They begin at zero again when a class or TAP is made
// again, which a counter may do.
//
// At most N interfaces have series: those leased longest, so that none loses its series while it
// lives. The others are only counted: a sum over a set that changes would fall when one goes, and a
// fall is a restart to whoever computes rates.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/ledger/ledger.h"
#include "drivers/qdisc_driver.h"

namespace forkplane::app {

// NOTE Threading: thread-safe. Both outlive it. One look at a time, since loops wait for the same
// socket: who comes meanwhile is served the last one.
class InterfaceMetrics {
 public:
  InterfaceMetrics(const ledger::Ledger& ledger, drivers::QdiscDriver& qdiscs,
                   std::uint32_t interfaces_max)
      : ledger_(ledger), qdiscs_(qdiscs), interfaces_max_(interfaces_max) {}

  void Collect(metrics::Scrape& scrape) EXCLUDES(mu_);

 private:
  struct Sample {
    metrics::Labels labels;
    drivers::TcCounters counters;
  };
  struct Look {
    std::vector<Sample> samples = {};
    std::size_t dropped = 0;  // interfaces without series
  };

  Look TakeLook();

  const ledger::Ledger& ledger_;
  drivers::QdiscDriver& qdiscs_;
  const std::uint32_t interfaces_max_;
  Mutex mu_;
  bool is_looking_ GUARDED_BY(mu_) = false;
  Look last_ GUARDED_BY(mu_);
};

}  // namespace forkplane::app
