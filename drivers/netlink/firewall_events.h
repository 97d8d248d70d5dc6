// What happens to our table of nftables, from the multicast group of nfnetlink.
//
// NOTE Kernel: what a transaction did is told after it was done, and of one that was refused
// nothing is. A flush of everything is told object by object; elements are told twice each (an
// interval has an end), so that a large table overflows a default buffer: what was lost counts as
// ours.
// NOTE Threading: one user at a time.
#pragma once

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::netlink {

class FirewallEvents {
 public:
  // In the network namespace of the calling thread. Without nfnetlink in the kernel nothing is ever
  // told.
  static Result<FirewallEvents> Open(int receive_buffer_bytes);

  // -1: none.
  int fd() const { return socket_.get(); }
  // Reads all there is; whether something of our table was changed, or may have been.
  bool Drain();

 private:
  explicit FirewallEvents(UniqueFd socket) : socket_(std::move(socket)) {}

  UniqueFd socket_;
};

}  // namespace forkplane::netlink
