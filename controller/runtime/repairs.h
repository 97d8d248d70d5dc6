// Which of a loop's actions put back what had stood: forkplane_network_repairs_total{loop,part}.
//
// An action is a repair when the kernel was seen to be as desired and the desired state is still
// the same: only somebody else can have made the action necessary. What is made for the first time,
// or because the desired state changed, is no repair. A part counts once until the key was seen
// whole again, however many actions and attempts that takes.
//
// NOTE Restart: what stood is known from this daemon's own looks only. What broke while none ran is
// put back and not counted.
// NOTE Threading: thread-safe.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "controller/base/metrics.h"
#include "controller/base/mutex.h"

namespace forkplane::runtime {

template <typename Key, typename Desired>
class Repairs {
 public:
  // Without a registry it counts nowhere.
  Repairs(metrics::Registry* registry, const std::string& loop,
          std::initializer_list<const char*> parts) {
    for (const char* part : parts) {
      counters_[part] = registry == nullptr
                            ? metrics::Counter()
                            : registry->AddCounter("forkplane_network_repairs_total",
                                                   "what the loops put back after others deleted "
                                                   "or changed it",
                                                   {{"loop", loop}, {"part", part}});
    }
  }

  // What a pass is about to make true. When it differs from what stood, nothing counts until it
  // stands.
  void Want(const Key& key, const Desired& desired) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    const auto it = stood_.find(key);
    if (it != stood_.end() && !(it->second.desired == desired)) stood_.erase(it);
  }
  // All of it was seen in the kernel.
  void Saw(const Key& key, const Desired& desired) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    stood_.insert_or_assign(key, Standing{desired, {}});
  }
  // The key is no longer desired, or the loop itself took its object away.
  void Forget(const Key& key) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    stood_.erase(key);
  }
  // An action on this part has succeeded; "" is none.
  void Did(const Key& key, std::string_view part) EXCLUDES(mu_) {
    const auto counter = counters_.find(part);
    if (counter == counters_.end()) return;
    const MutexLock lock(mu_);
    const auto it = stood_.find(key);
    if (it != stood_.end() && it->second.counted.insert(counter->first).second)
      counter->second.Increment();
  }

 private:
  struct Standing {
    Desired desired;
    std::set<std::string_view> counted;
  };

  std::map<std::string_view, metrics::Counter> counters_;  // by part: string literals
  Mutex mu_;
  std::map<Key, Standing> stood_ GUARDED_BY(mu_);
};

}  // namespace forkplane::runtime
