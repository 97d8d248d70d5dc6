// Keys that need a look. What it promises:
//   - a key waits at most once, however often it was added;
//   - a key is in the hands of at most one worker; added meanwhile, it comes back after Done;
//   - first come, first served, but for those that may stand behind the others (Behind); no wake-up
//     is lost;
//   - AddAfter keeps the earlier time of a key that waits already;
//   - AddMerged gathers: the key comes once for all that was merged within the window, and not for
//     what was merged before its pass began.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/base/rng.h"
#include "controller/runtime/backoff.h"
#include "controller/runtime/delay_heap.h"

namespace forkplane::runtime {

// NOTE Threading: thread-safe. There is no timer thread: whoever waits in Get wakes for the
// earliest delay.
// NOTE Monitoring: workqueue_depth, workqueue_adds_total, workqueue_retries_total,
// workqueue_queue_duration_seconds, workqueue_work_duration_seconds,
// workqueue_unfinished_work_seconds, workqueue_longest_running_processor_seconds; label name. The
// last two are set by RefreshMetrics, which whoever serves /metrics calls first.
class WorkQueue {
 public:
  // Whether a key may stand behind the others: what nobody waits for, a release. Such keys are
  // taken when no other is ready, and every eighth time all the same. Asked when the key gets in
  // line, under the queue's lock: a look in memory.
  using Behind = std::function<bool(const std::string& key)>;

  WorkQueue(const std::string& name, Clock& clock, Rng& rng, metrics::Registry& registry,
            Behind behind = {});

  void Add(const std::string& key) EXCLUDES(mu_);
  void AddAfter(const std::string& key, std::chrono::nanoseconds delay) EXCLUDES(mu_);
  // For what comes in swarms and where a little later is soon enough: events, counts in a status.
  void AddMerged(const std::string& key, std::chrono::nanoseconds window) EXCLUDES(mu_);
  // After a failure: waits longer each time, until Forget.
  void AddRateLimited(const std::string& key) EXCLUDES(mu_);
  void Forget(const std::string& key) EXCLUDES(mu_);
  int Failures(const std::string& key) const EXCLUDES(mu_);

  // Waits for a key; nothing when stopped or shut down. Every key got must be given to Done.
  std::optional<std::string> Get(const std::stop_token& stop) EXCLUDES(mu_);
  // The same without waiting.
  std::optional<std::string> TryGet() EXCLUDES(mu_);
  void Done(const std::string& key) EXCLUDES(mu_);

  // From now on Add does nothing and Get gives nothing.
  void ShutDown() EXCLUDES(mu_);

  // Keys that are ready (not those delayed or in work).
  std::size_t size() const EXCLUDES(mu_);
  // When the earliest delayed key is due, for simulations that turn the clock.
  std::optional<MonotonicTime> NextDue() const EXCLUDES(mu_);
  void RefreshMetrics() EXCLUDES(mu_);

 private:
  struct Metrics {
    metrics::Gauge depth;
    metrics::Counter adds;
    metrics::Counter retries;
    metrics::Histogram queue_duration;
    metrics::Histogram work_duration;
    metrics::Gauge unfinished;
    metrics::Gauge longest_running;
  };

  void AddLocked(const std::string& key) REQUIRES(mu_);
  void EnterLocked(const std::string& key) REQUIRES(mu_);
  std::size_t ReadyLocked() const REQUIRES(mu_) { return order_.size() + behind_order_.size(); }
  void MoveDueLocked() REQUIRES(mu_);
  std::optional<std::string> PopLocked() REQUIRES(mu_);
  std::optional<MonotonicTime> EarliestLocked() const REQUIRES(mu_);

  Clock& clock_;
  Metrics metrics_;
  const Behind behind_;
  mutable Mutex mu_;
  CondVar changed_;
  // Both orders together are dirty_ minus processing_, in the order of arrival. A key in both
  // dirty_ and processing_ was added while in work and enters its order at Done.
  std::deque<std::string> order_ GUARDED_BY(mu_);
  std::deque<std::string> behind_order_ GUARDED_BY(mu_);
  unsigned taken_ GUARDED_BY(mu_) = 0;                               // while others stood behind
  std::map<std::string, MonotonicTime> dirty_ GUARDED_BY(mu_);       // since when
  std::map<std::string, MonotonicTime> processing_ GUARDED_BY(mu_);  // since when
  DelayHeap delayed_ GUARDED_BY(mu_);
  DelayHeap merged_ GUARDED_BY(mu_);
  Backoff backoff_ GUARDED_BY(mu_);
  bool shut_down_ GUARDED_BY(mu_) = false;
};

}  // namespace forkplane::runtime
