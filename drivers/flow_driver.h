// The kernel's connection tracking, as far as it remembers addresses of guests.
//
// An entry outlives the guest it was made for: five days for an idle TCP connection. Whoever gets
// the address next would receive the answers to it, and its own packets would be taken for parts of
// it. So an address is not given out again before its entries are gone.
//
// NOTE Contract, threading, namespace: as in link_driver.h.
#pragma once

#include <cstddef>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

class FlowDriver {
 public:
  virtual ~FlowDriver() = default;
  // Removes every entry that has the address as source or destination, of the original direction
  // or of the reply (with masquerade, only the original source is the guest). How many. A kernel
  // that tracks nothing, or lets nobody look, has nothing to remove: 0. Idempotent.
  virtual Result<std::size_t> FlushAddress(Ipv4 address) = 0;
};

}  // namespace forkplane::drivers
