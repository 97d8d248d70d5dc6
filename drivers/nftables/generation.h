// The kernel's count of changes to the rules of a network namespace. It never stands still over a
// change, whosever table was changed (packets that add elements are no changes).
//
// NOTE Threading: thread-safe. NOTE Namespace: that of the thread that opened it.
#pragma once

#include <cstdint>
#include <memory>

#include "controller/base/mutex.h"
#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::nftables {

class Generation {
 public:
  static Result<std::unique_ptr<Generation>> Open();
  Result<std::uint32_t> Read() EXCLUDES(mutex_);

 private:
  explicit Generation(UniqueFd socket) : socket_(std::move(socket)) {}

  Mutex mutex_;
  UniqueFd socket_ GUARDED_BY(mutex_);
  std::uint32_t sequence_ GUARDED_BY(mutex_) = 0;
};

}  // namespace forkplane::nftables
