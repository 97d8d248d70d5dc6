// Whether something else on this host drops what the guests of a Network send out, or to each
// other.
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

// What is asked of a Network that stands, on its first bridge.
struct ForwardingQuestion {
  std::uint32_t bridge = 0;
  Ipv4 source = {};                   // an address of it that no guest has
  bool many_links = false;            // its guests stand on others too
  bool outwards = false;              // do they get out of this host?
  std::vector<Ipv4> neighbours = {};  // of guests; not empty: do they get to each other?
};

enum class Way : std::uint8_t { kOutwards, kToNeighbours };

// The condition's message: who may do it, and what to do about it. `links`: the name of a bridge,
// or "fk*": all of ours.
std::string BlockedMessage(Way way, const std::string& links,
                           const std::vector<drivers::ForwardChain>& suspects);

class ForwardingWatch {
 public:
  ForwardingWatch(drivers::ForwardingProbe& probe, Clock& clock) : probe_(probe), clock_(clock) {}

  // BlockedMessage, or "" when its packets are forwarded or nobody can tell. Asks when `changed`,
  // or when it is long enough ago; else tells what it knows.
  std::string WhoBlocks(const std::string& uid, const ForwardingQuestion& question, bool changed);
  void Forget(const std::string& uid) { known_.erase(uid); }

 private:
  struct Known {
    MonotonicTime since;
    std::string blocked;
  };

  std::string Ask(const std::string& uid, const ForwardingQuestion& question, Way way,
                  const std::vector<Ipv4>& targets);

  drivers::ForwardingProbe& probe_;
  Clock& clock_;
  std::map<std::string, Known> known_;  // by the Network's uid
};

}  // namespace forkplane::network
