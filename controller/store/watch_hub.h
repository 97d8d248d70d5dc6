// Hands committed changes to the watches, in one order for all.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/base/unique_fd.h"
#include "controller/store/object_table.h"

namespace forkplane::store {

// The queue between the hub and one reader.
class WatchQueue {
 public:
  // `backlog`: initial state or replayed history, not counted against the bound.
  WatchQueue(UniqueFd event_fd, Filter filter, Revision after, std::deque<WatchEvent> backlog,
             std::size_t live_events_max);

  // What concerns this watch. False: it is closed (just now, if the reader was too slow).
  bool Push(std::span<const Change> changes) EXCLUDES(mu_);
  void Close() EXCLUDES(mu_);

  int event_fd() const { return event_fd_.get(); }
  std::optional<WatchEvent> TryPop() EXCLUDES(mu_);
  std::optional<WatchEvent> Pop(const std::stop_token& stop, MonotonicTime deadline) EXCLUDES(mu_);
  bool ended() const EXCLUDES(mu_);
  bool empty() const EXCLUDES(mu_);
  bool overflowed() const EXCLUDES(mu_);

 private:
  std::optional<WatchEvent> TryPopLocked() REQUIRES(mu_);
  void Signal() REQUIRES(mu_);

  const UniqueFd event_fd_;
  const Filter filter_;
  const Revision after_;
  const std::size_t live_events_max_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<WatchEvent> events_ GUARDED_BY(mu_);  // the first backlog_ of them are not live
  std::size_t backlog_ GUARDED_BY(mu_);
  bool signalled_ GUARDED_BY(mu_) = false;
  bool closed_ GUARDED_BY(mu_) = false;
  bool overflowed_ GUARDED_BY(mu_) = false;
};

// NOTE Threading: thread-safe. The hub's lock is held while a change enters the table and goes out,
// so that a watch that opens sees every change either in its first state or as an event, never in
// both or neither; readers and writers of the table do not wait for it.
// NOTE Monitoring: forkplane_store_watches, forkplane_store_watch_overflows_total.
class WatchHub {
 public:
  WatchHub(ObjectTable& table, metrics::Registry& registry);

  void Publish(std::span<Change> changes) EXCLUDES(mu_);
  Result<std::unique_ptr<Watch>> Open(Filter filter, const WatchOptions& options) EXCLUDES(mu_);
  void CloseAll() EXCLUDES(mu_);

 private:
  Result<std::deque<WatchEvent>> Backlog(const Filter& filter, const WatchOptions& options) const;
  void DropClosed() REQUIRES(mu_);

  ObjectTable& table_;
  metrics::Gauge watches_;
  metrics::Counter overflows_;
  Mutex mu_;
  std::vector<std::shared_ptr<WatchQueue>> queues_ GUARDED_BY(mu_);
  bool closed_ GUARDED_BY(mu_) = false;
  // Everything up to here was pushed. Shared with the watches, which may outlive the hub.
  std::shared_ptr<std::atomic<Revision>> dispatched_;
};

}  // namespace forkplane::store
