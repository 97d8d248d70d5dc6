#include "reconcilers/network/refusals.h"

#include <algorithm>

namespace forkplane::network {
namespace {

constexpr std::size_t kNamedMax = 3;

}  // namespace

metrics::Counter& RefusalWatch::CounterOf(const std::string& network) {
  const auto known = counters_.find(network);
  if (known != counters_.end()) return known->second;
  metrics::Counter counter;
  if (registry_ != nullptr) {
    counter = registry_->AddCounter("forkplane_network_connections_refused_total",
                                    "packets of guests that would have begun a connection beyond "
                                    "their bounds",
                                    {{"network", network}});
  }
  return counters_.emplace(network, counter).first->second;
}

Result<std::string> RefusalWatch::Describe(const std::string& network, const Cidr& cidr) {
  const MonotonicTime now = clock_.Now();
  if (!looked_ || now - *looked_ >= kRefusalPeriod) {
    ASSIGN_OR_RETURN(refused_, firewall_.ListRefused());
    looked_ = now;
  }
  std::vector<std::string> named;
  std::size_t guests = 0;
  metrics::Counter& counter = CounterOf(network);
  for (const drivers::RefusedFlows& refused : refused_) {
    if (!cidr.Contains(refused.address)) continue;
    ++guests;
    if (named.size() < kNamedMax) {
      named.push_back(fmt::format("{} ({} packets)", ToString(refused.address), refused.packets));
    }
    std::uint64_t& counted = counted_[refused.address];
    // The kernel begins at 0 again after a minute of silence.
    const std::uint64_t more =
        refused.packets >= counted ? refused.packets - counted : refused.packets;
    counter.Increment(static_cast<double>(more));
    counted = refused.packets;
  }
  std::erase_if(counted_, [&](const auto& entry) {
    return cidr.Contains(entry.first) &&
           std::none_of(refused_.begin(), refused_.end(),
                        [&](const drivers::RefusedFlows& is) { return is.address == entry.first; });
  });
  if (guests == 0) return std::string();
  return fmt::format(
      "new connections of {} guests were refused within the last minute: {}{}; each may have "
      "spec.connectionsMax tracked at once and begin 200 a second: look what the guest does, or "
      "raise connectionsMax",
      guests, fmt::join(named, ", "), guests > named.size() ? ", and others" : "");
}

}  // namespace forkplane::network
