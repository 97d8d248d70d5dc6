// Two daemons never own one state directory: an advisory lock on <state-dir>/lock, held as long as
// this object.
#pragma once

#include <string>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::app {

class InstanceLock {
 public:
  // Makes the state directory (0700) when it is absent. Conflict: another process holds the lock;
  // the message names its pid. The kernel drops the lock with the process, however it ends
  // (flock(2)), so a stale file means nothing.
  static Result<InstanceLock> Take(const std::string& state_dir);

 private:
  explicit InstanceLock(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

}  // namespace forkplane::app
