// Guests over the bounds of connections: told at the Network and counted.
//
// NOTE Threading: as its loop's, one worker. NOTE Memory: only what was counted so far.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/net_address.h"
#include "drivers/firewall_driver.h"

namespace forkplane::network {

// All Networks are read at once, at most so often.
inline constexpr std::chrono::seconds kRefusalPeriod{5};

class RefusalWatch {
 public:
  // `registry` may be null.
  RefusalWatch(drivers::FirewallDriver& firewall, Clock& clock, metrics::Registry* registry)
      : firewall_(firewall), clock_(clock), registry_(registry) {}

  // The condition's message for one Network; "": none of its guests was refused within the last
  // minute. Counts what came since the last look.
  Result<std::string> Describe(const std::string& network, const Cidr& cidr);

 private:
  metrics::Counter& CounterOf(const std::string& network);

  drivers::FirewallDriver& firewall_;
  Clock& clock_;
  metrics::Registry* const registry_;
  std::optional<MonotonicTime> looked_;
  std::vector<drivers::RefusedFlows> refused_;
  std::map<Ipv4, std::uint64_t> counted_;
  std::map<std::string, metrics::Counter> counters_;  // by Network
};

}  // namespace forkplane::network
