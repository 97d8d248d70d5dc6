// The connections whose client has proven nothing: in their handshake, or anonymous. There may be
// only so many, and the newest is let in at the cost of the oldest: refusing the newest instead
// would let whoever holds them all keep the owner of a certificate from ever showing it.
#pragma once

#include <cstddef>
#include <list>

#include "controller/apiserver/http/transport.h"
#include "controller/base/mutex.h"

namespace forkplane::apiserver {

// NOTE Threading: all methods from any thread.
class UnauthenticatedConnections {
 public:
  explicit UnauthenticatedConnections(std::size_t max) : max_(max) {}

  // True: the oldest had to go; its thread finds the connection closed and leaves.
  bool Enter(Transport& transport);
  // Before the transport ends, or when its client has shown a certificate. Idempotent.
  void Leave(Transport& transport);

 private:
  const std::size_t max_;
  Mutex mu_;
  std::list<Transport*> oldest_first_ GUARDED_BY(mu_);
};

}  // namespace forkplane::apiserver
