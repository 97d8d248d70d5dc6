#include "controller/runtime/backoff.h"

#include <algorithm>

namespace forkplane::runtime {

std::chrono::nanoseconds Backoff::Next(const std::string& key) {
  const int failures = failures_[key]++;
  std::chrono::nanoseconds delay = first_;
  for (int i = 0; i < failures && delay < max_; ++i) delay *= 2;
  delay = std::min(delay, max_);
  // 80 to 120 %, in thousandths.
  return delay / 1000 * static_cast<std::int64_t>(800 + rng_.Below(401));
}

int Backoff::Failures(const std::string& key) const {
  const auto it = failures_.find(key);
  return it == failures_.end() ? 0 : it->second;
}

}  // namespace forkplane::runtime
