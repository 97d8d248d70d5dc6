// Whether something else on this host drops what the guests of a Network send out.
//
// NOTE Threading: as its loop's, one worker. NOTE Memory: what is remembered only says how long ago
// was asked and what the answer was; after a restart it is asked again.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "drivers/forwarding_probe.h"

namespace forkplane::network {

// Less than the resync's period, so that each resync asks, and passes between two of them do not.
inline constexpr std::chrono::seconds kProbePeriod{20};

// The condition's message: who may do it, and what to do about it.
std::string BlockedMessage(const std::string& bridge,
                           const std::vector<drivers::ForwardChain>& suspects);

class ForwardingWatch {
 public:
  ForwardingWatch(drivers::ForwardingProbe& probe, Clock& clock) : probe_(probe), clock_(clock) {}

  // Of a Network that stands: BlockedMessage, or "" when its packets are forwarded or nobody can
  // tell. Asks when `changed`, or when it is long enough ago; else tells what it knows.
  std::string WhoBlocks(const std::string& uid, std::uint32_t bridge, Ipv4 source, bool changed);
  void Forget(const std::string& uid) { known_.erase(uid); }

 private:
  struct Known {
    MonotonicTime since;
    std::string blocked;
  };

  drivers::ForwardingProbe& probe_;
  Clock& clock_;
  std::map<std::string, Known> known_;  // by the Network's uid
};

}  // namespace forkplane::network
