// How long a key that failed waits: 5 ms, doubled with every failure, at most 1000 s, each time
// between 80 and 120 % of it so that what failed together does not come back together.
#pragma once

#include <chrono>
#include <string>
#include <unordered_map>

#include "controller/base/rng.h"
#include "controller/runtime/limits.h"

namespace forkplane::runtime {

// Not thread-safe; the work queue guards it.
class Backoff {
 public:
  explicit Backoff(Rng& rng, std::chrono::nanoseconds first = kBackoffFirst,
                   std::chrono::nanoseconds max = kBackoffMax)
      : rng_(rng), first_(first), max_(max) {}

  // Counts one more failure and says how long to wait.
  std::chrono::nanoseconds Next(const std::string& key);
  void Forget(const std::string& key) { failures_.erase(key); }
  int Failures(const std::string& key) const;

 private:
  Rng& rng_;
  std::chrono::nanoseconds first_;
  std::chrono::nanoseconds max_;
  std::unordered_map<std::string, int> failures_;
};

}  // namespace forkplane::runtime
