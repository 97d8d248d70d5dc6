// The kernel's connection tracking, as far as it remembers addresses of guests.
//
// An entry outlives the guest it was made for: five days for an idle TCP connection. Whoever gets
// the address next would receive the answers to it, and its own packets would be taken for parts of
// it. So an address is not given out again before its entries are gone.
//
// NOTE Contract, threading, namespace: as in link_driver.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

// One tracked connection.
struct Flow {
  Ipv4 source;             // who began it
  Ipv4 destination;        // whom it called
  Ipv4 reply_source;       // who answers: another than the destination where that was translated
  Ipv4 reply_destination;  // whom the answers are for: another than the source, as above
  std::uint8_t protocol = 0;
  std::uint16_t port = 0;  // of who answers; 0: the protocol has none
  bool operator==(const Flow&) const = default;
};

class FlowDriver {
 public:
  virtual ~FlowDriver() = default;
  // Removes every entry that has the address as source or destination, of the original direction
  // or of the reply (with masquerade, only the original source is the guest). How many. A kernel
  // that tracks nothing, or lets nobody look, has nothing to remove: 0. Idempotent.
  virtual Result<std::size_t> FlushAddress(Ipv4 address) = 0;
  // Removes every entry of IPv4 for which `ends` holds. How many. As above.
  virtual Result<std::size_t> FlushIf(const std::function<bool(const Flow&)>& ends) = 0;
};

}  // namespace forkplane::drivers
