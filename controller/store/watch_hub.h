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
  WatchQueue(UniqueFd event_fd, Filter filter, std::size_t live_events_max);

  // What concerns this watch. False: it is closed (just now, if the reader was too slow).
  bool Push(std::span<const Change> changes) EXCLUDES(mu_);
  // Puts what came before the first Push in front: initial state or replayed history. It is not
  // counted against the bound. Once, before anybody reads.
  void SetBacklog(std::deque<WatchEvent> backlog) EXCLUDES(mu_);
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
  const std::size_t live_events_max_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<WatchEvent> events_ GUARDED_BY(mu_);  // the first backlog_ of them are not live
  std::size_t backlog_ GUARDED_BY(mu_) = 0;
  bool signalled_ GUARDED_BY(mu_) = false;
  bool closed_ GUARDED_BY(mu_) = false;
  bool overflowed_ GUARDED_BY(mu_) = false;
};

// NOTE Threading: thread-safe. The hub's lock is held while a change enters the table and goes out,
// so that a watch that opens sees every change either in its first state or as an event, never in
// both or neither; readers and writers of the table do not wait for it. A watch that opens holds it
// for a moment only: its first state is a snapshot, which is filtered and sorted afterwards, while
// changes queue up behind it.
// NOTE Monitoring: forkplane_store_watches, forkplane_store_watch_overflows_total.
class WatchHub {
 public:
  WatchHub(ObjectTable& table, metrics::Registry& registry);

  void Publish(std::span<Change> changes) EXCLUDES(mu_);
  // Expired, FutureRevisionError: `options.after` is too old, or was not given out yet.
  Result<std::unique_ptr<Watch>> Open(const Filter& filter, const WatchOptions& options)
      EXCLUDES(mu_);
  void CloseAll() EXCLUDES(mu_);

 private:
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
