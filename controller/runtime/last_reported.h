// What a loop last reported about each object, so that it records an Event when something begins
// and not in every pass. The memory ends with the daemon: after a restart an Event is recorded once
// more.
#pragma once

#include <map>
#include <string>

#include "controller/base/mutex.h"

namespace forkplane::runtime {

// NOTE Threading: from anywhere.
class LastReported {
 public:
  // True: `what` differs from what was last reported about the object.
  bool IsNew(const std::string& uid, const std::string& what) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    std::string& last = last_[uid];
    if (last == what) return false;
    last = what;
    return true;
  }
  // The reported state has ended, or the object is gone.
  void Forget(const std::string& uid) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    last_.erase(uid);
  }

 private:
  Mutex mu_;
  std::map<std::string, std::string> last_ GUARDED_BY(mu_);  // by uid
};

}  // namespace forkplane::runtime
