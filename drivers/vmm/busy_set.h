// Which machines a call is changing now. Not a lock: a second call is refused, it never waits.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "controller/base/mutex.h"
#include "controller/base/result.h"

namespace forkplane::vmm {

class BusySet {
 public:
  // Gives the machine back when it ends.
  class Claim {
   public:
    Claim(BusySet* set, std::string uid) : set_(set), uid_(std::move(uid)) {}
    Claim(Claim&& other) noexcept
        : set_(std::exchange(other.set_, nullptr)), uid_(std::move(other.uid_)) {}
    Claim& operator=(Claim&&) = delete;
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim() {
      if (set_ != nullptr) set_->Release(uid_);
    }

   private:
    BusySet* set_;
    std::string uid_;
  };

  Result<Claim> Take(const std::string& uid, const std::string& what) {
    const MutexLock lock(mu_);
    const auto [at, added] = busy_.emplace(uid, what);
    if (!added) return Conflict("machine " + uid + " is busy: " + at->second);
    return Claim(this, uid);
  }
  std::optional<std::string> What(const std::string& uid) {
    const MutexLock lock(mu_);
    const auto found = busy_.find(uid);
    if (found == busy_.end()) return std::nullopt;
    return found->second;
  }

 private:
  void Release(const std::string& uid) {
    const MutexLock lock(mu_);
    busy_.erase(uid);
  }

  Mutex mu_;
  std::map<std::string, std::string> busy_ GUARDED_BY(mu_);
};

inline constexpr char kCapturing[] = "snapshot";

}  // namespace forkplane::vmm
