// What a loop last said about each object, so that an Event is written when something begins and
// not at every look. Forgotten with the daemon: a restart says it once more.
#pragma once

#include <map>
#include <string>

#include "controller/base/mutex.h"

namespace forkplane::runtime {

// NOTE Threading: from anywhere.
class Told {
 public:
  // True: `what` is not what was last said about the object.
  bool IsNew(const std::string& uid, const std::string& what) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    std::string& last = last_[uid];
    if (last == what) return false;
    last = what;
    return true;
  }
  // It is over, or the object is gone.
  void Forget(const std::string& uid) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    last_.erase(uid);
  }

 private:
  Mutex mu_;
  std::map<std::string, std::string> last_ GUARDED_BY(mu_);  // by uid
};

}  // namespace forkplane::runtime
