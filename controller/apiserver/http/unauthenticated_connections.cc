#include "controller/apiserver/http/unauthenticated_connections.h"

namespace forkplane::apiserver {

// The lock is held over Abort, which does not block, so that Leave keeps the transport alive
// until it is done.
bool UnauthenticatedConnections::Enter(Transport& transport) {
  const MutexLock lock(mu_);
  const bool full = !oldest_first_.empty() && oldest_first_.size() >= max_;
  if (full) {
    oldest_first_.front()->Abort();
    oldest_first_.pop_front();
  }
  oldest_first_.push_back(&transport);
  return full;
}

void UnauthenticatedConnections::Leave(Transport& transport) {
  const MutexLock lock(mu_);
  oldest_first_.remove(&transport);
}

}  // namespace forkplane::apiserver
