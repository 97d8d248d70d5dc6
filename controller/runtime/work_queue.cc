#include "controller/runtime/work_queue.h"

#include <algorithm>

#include "controller/base/check.h"

namespace forkplane::runtime {
namespace {

// A queue without delays still looks up now and then, should the clock jump.
constexpr std::chrono::seconds kLongestWait{60};

// Every so many keys one that stands behind: it waits long, not for ever.
constexpr unsigned kBehindTurn = 8;

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

WorkQueue::WorkQueue(const std::string& name, Clock& clock, Rng& rng, metrics::Registry& registry,
                     Behind behind)
    : clock_(clock),
      metrics_{
          .depth = registry.AddGauge("workqueue_depth", "Current depth of the workqueue.",
                                     {{"name", name}}),
          .adds = registry.AddCounter("workqueue_adds_total", "Adds handled by the workqueue.",
                                      {{"name", name}}),
          .retries = registry.AddCounter("workqueue_retries_total",
                                         "Retries handled by the workqueue.", {{"name", name}}),
          .queue_duration = registry.AddHistogram(
              "workqueue_queue_duration_seconds",
              "How long an item stays in the workqueue before being requested.", {{"name", name}}),
          .work_duration = registry.AddHistogram(
              "workqueue_work_duration_seconds",
              "How long processing an item from the workqueue takes.", {{"name", name}}),
          .unfinished = registry.AddGauge(
              "workqueue_unfinished_work_seconds",
              "Sum of the time the items in work have been in work so far.", {{"name", name}}),
          .longest_running = registry.AddGauge(
              "workqueue_longest_running_processor_seconds",
              "How long the longest running processor has been running.", {{"name", name}}),
      },
      behind_(std::move(behind)),
      backoff_(rng) {}

void WorkQueue::AddLocked(const std::string& key) {
  if (shut_down_) return;
  if (!dirty_.emplace(key, clock_.Now()).second) return;
  metrics_.adds.Increment();
  if (processing_.count(key) != 0) return;  // Done brings it back
  EnterLocked(key);
}

void WorkQueue::EnterLocked(const std::string& key) {
  (behind_ && behind_(key) ? behind_order_ : order_).push_back(key);
  metrics_.depth.Set(static_cast<double>(ReadyLocked()));
  changed_.NotifyOne();
}

void WorkQueue::Add(const std::string& key) {
  MutexLock lock(mu_);
  AddLocked(key);
}

void WorkQueue::AddAfter(const std::string& key, std::chrono::nanoseconds delay) {
  MutexLock lock(mu_);
  if (shut_down_) return;
  if (delay <= std::chrono::nanoseconds::zero()) {
    AddLocked(key);
    return;
  }
  metrics_.retries.Increment();
  delayed_.Add(key, clock_.Now() + delay);
  changed_.NotifyOne();  // whoever waits may have to wait less
}

void WorkQueue::AddMerged(const std::string& key, std::chrono::nanoseconds window) {
  MutexLock lock(mu_);
  if (shut_down_ || dirty_.count(key) != 0) return;  // a pass that has not begun sees it
  const auto before = merged_.Earliest();
  merged_.Add(key, clock_.Now() + window);
  if (merged_.Earliest() != before) changed_.NotifyOne();
}

void WorkQueue::AddRateLimited(const std::string& key) {
  std::chrono::nanoseconds delay{};
  {
    MutexLock lock(mu_);
    delay = backoff_.Next(key);
  }
  AddAfter(key, delay);
}

void WorkQueue::Forget(const std::string& key) {
  MutexLock lock(mu_);
  backoff_.Forget(key);
}

int WorkQueue::Failures(const std::string& key) const {
  MutexLock lock(mu_);
  return backoff_.Failures(key);
}

void WorkQueue::MoveDueLocked() {
  const MonotonicTime now = clock_.Now();
  for (const std::string& key : delayed_.TakeDue(now)) AddLocked(key);
  for (const std::string& key : merged_.TakeDue(now)) AddLocked(key);
}

std::optional<MonotonicTime> WorkQueue::EarliestLocked() const {
  const auto delayed = delayed_.Earliest();
  const auto merged = merged_.Earliest();
  return delayed && merged ? std::min(*delayed, *merged) : (delayed ? delayed : merged);
}

std::optional<std::string> WorkQueue::PopLocked() {
  if (shut_down_ || ReadyLocked() == 0) return std::nullopt;
  const bool turn = !order_.empty() && !behind_order_.empty() && ++taken_ % kBehindTurn == 0;
  const bool front = !order_.empty() && !turn;
  std::deque<std::string>& order = front ? order_ : behind_order_;
  std::string key = std::move(order.front());
  order.pop_front();
  const MonotonicTime now = clock_.Now();
  const auto since = dirty_.find(key);
  metrics_.queue_duration.Observe(Seconds(now - since->second));
  dirty_.erase(since);
  merged_.Remove(key);
  processing_.emplace(key, now);
  metrics_.depth.Set(static_cast<double>(ReadyLocked()));
  return key;
}

std::optional<std::string> WorkQueue::TryGet() {
  MutexLock lock(mu_);
  MoveDueLocked();
  return PopLocked();
}

std::optional<std::string> WorkQueue::Get(const std::stop_token& stop) {
  MutexLock lock(mu_);
  while (!stop.stop_requested() && !shut_down_) {
    MoveDueLocked();
    if (std::optional<std::string> key = PopLocked()) return key;
    const std::optional<MonotonicTime> due = EarliestLocked();
    std::chrono::nanoseconds wait = kLongestWait;
    if (due) wait = std::min(wait, *due - clock_.Now());
    // The wait is in real time whatever clock tells the delays.
    const MonotonicTime until = RealClock().Now() + wait;
    changed_.WaitUntil(mu_, stop, until, [this, due]() NO_THREAD_SAFETY_ANALYSIS {
      return shut_down_ || ReadyLocked() != 0 || EarliestLocked() != due;
    });
  }
  return std::nullopt;
}

void WorkQueue::Done(const std::string& key) {
  MutexLock lock(mu_);
  const auto it = processing_.find(key);
  CHECK(it != processing_.end());
  metrics_.work_duration.Observe(Seconds(clock_.Now() - it->second));
  processing_.erase(it);
  if (dirty_.count(key) != 0) EnterLocked(key);
}

void WorkQueue::ShutDown() {
  MutexLock lock(mu_);
  shut_down_ = true;
  changed_.NotifyAll();
}

std::size_t WorkQueue::size() const {
  MutexLock lock(mu_);
  return ReadyLocked();
}

std::optional<MonotonicTime> WorkQueue::NextDue() const {
  MutexLock lock(mu_);
  return EarliestLocked();
}

void WorkQueue::RefreshMetrics() {
  MutexLock lock(mu_);
  const MonotonicTime now = clock_.Now();
  std::chrono::nanoseconds sum{};
  std::chrono::nanoseconds longest{};
  for (const auto& [key, since] : processing_) {
    sum += now - since;
    longest = std::max<std::chrono::nanoseconds>(longest, now - since);
  }
  metrics_.unfinished.Set(Seconds(sum));
  metrics_.longest_running.Set(Seconds(longest));
}

}  // namespace forkplane::runtime
