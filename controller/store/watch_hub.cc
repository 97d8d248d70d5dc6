#include "controller/store/watch_hub.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "controller/store/errors.h"

namespace forkplane::store {
namespace {

// A reader's end. It keeps nothing of the hub but the queue and the dispatched revision, so it may
// outlive the store.
class HubWatch final : public Watch {
 public:
  HubWatch(std::shared_ptr<WatchQueue> queue, std::shared_ptr<std::atomic<Revision>> dispatched)
      : queue_(std::move(queue)), dispatched_(std::move(dispatched)) {}
  ~HubWatch() override { queue_->Close(); }  // the hub drops a closed queue at its next change
  HubWatch(const HubWatch&) = delete;
  HubWatch& operator=(const HubWatch&) = delete;

  int event_fd() const override { return queue_->event_fd(); }
  std::optional<WatchEvent> TryNext() override { return queue_->TryPop(); }
  std::optional<WatchEvent> Next(const std::stop_token& stop, MonotonicTime deadline) override {
    return queue_->Pop(stop, deadline);
  }
  bool ended() const override { return queue_->ended(); }
  void Close() override { queue_->Close(); }

  Revision SentThrough() override {
    // In this order: what was dispatched before the read is in the queue or already taken.
    const Revision dispatched = dispatched_->load(std::memory_order_acquire);
    return queue_->empty() && !queue_->overflowed() ? dispatched : 0;
  }

 private:
  std::shared_ptr<WatchQueue> queue_;
  std::shared_ptr<std::atomic<Revision>> dispatched_;
};

// The state, by revision: who is cut off in the middle and resumes after the last one seen misses
// nothing.
std::deque<WatchEvent> StateEvents(const Snapshot& snapshot, const Filter& filter,
                                   bool initial_events_end) {
  ListResult state = ListSnapshot(snapshot, filter, 0, {});
  std::sort(state.items.begin(), state.items.end(), [](const ObjectPtr& a, const ObjectPtr& b) {
    return a->meta.revision < b->meta.revision;
  });
  std::deque<WatchEvent> events;
  for (ObjectPtr& object : state.items) {
    const Revision revision = object->meta.revision;
    events.push_back(
        {.type = EventType::kAdded, .object = std::move(object), .revision = revision});
  }
  if (initial_events_end) {
    events.push_back(
        {.type = EventType::kBookmark, .revision = state.revision, .initial_events_end = true});
  }
  return events;
}

std::deque<WatchEvent> HistoryEvents(const std::vector<ChangePtr>& changes, const Filter& filter) {
  std::deque<WatchEvent> events;
  for (const ChangePtr& change : changes) {
    if (std::optional<WatchEvent> event = EventFor(filter, *change)) {
      events.push_back(*std::move(event));
    }
  }
  return events;
}

}  // namespace

WatchQueue::WatchQueue(UniqueFd event_fd, Filter filter, std::size_t live_events_max)
    : event_fd_(std::move(event_fd)),
      filter_(std::move(filter)),
      live_events_max_(live_events_max) {}

void WatchQueue::SetBacklog(std::deque<WatchEvent> backlog) {
  MutexLock lock(mu_);
  CHECK(backlog_ == 0);
  backlog_ = backlog.size();
  std::move(events_.begin(), events_.end(), std::back_inserter(backlog));
  events_ = std::move(backlog);
  if (!events_.empty()) Signal();
}

void WatchQueue::Signal() {
  changed_.NotifyAll();
  if (signalled_) return;
  signalled_ = true;
  const std::uint64_t one = 1;
  // Cannot fail: the counter is 0 or 1.
  CHECK(::write(event_fd_.get(), &one, sizeof(one)) == sizeof(one));
}

bool WatchQueue::Push(std::span<const Change> changes) {
  MutexLock lock(mu_);
  for (const Change& change : changes) {
    if (closed_) return false;
    std::optional<WatchEvent> event = EventFor(filter_, change);
    if (!event) continue;
    if (events_.size() - backlog_ >= live_events_max_) {
      closed_ = true;
      overflowed_ = true;
    } else {
      events_.push_back(*std::move(event));
    }
    Signal();
  }
  return !closed_;
}

void WatchQueue::Close() {
  MutexLock lock(mu_);
  closed_ = true;
  Signal();
}

std::optional<WatchEvent> WatchQueue::TryPopLocked() {
  if (events_.empty()) return std::nullopt;
  WatchEvent event = std::move(events_.front());
  events_.pop_front();
  if (backlog_ > 0) --backlog_;
  if (events_.empty() && !closed_ && signalled_) {
    std::uint64_t count = 0;
    CHECK(::read(event_fd_.get(), &count, sizeof(count)) == sizeof(count));
    signalled_ = false;
  }
  return event;
}

std::optional<WatchEvent> WatchQueue::TryPop() {
  MutexLock lock(mu_);
  return TryPopLocked();
}

std::optional<WatchEvent> WatchQueue::Pop(const std::stop_token& stop, MonotonicTime deadline) {
  MutexLock lock(mu_);
  changed_.WaitUntil(mu_, stop, deadline,
                     [this]() NO_THREAD_SAFETY_ANALYSIS { return !events_.empty() || closed_; });
  return TryPopLocked();
}

bool WatchQueue::ended() const {
  MutexLock lock(mu_);
  return closed_ && events_.empty();
}

bool WatchQueue::empty() const {
  MutexLock lock(mu_);
  return events_.empty();
}

bool WatchQueue::overflowed() const {
  MutexLock lock(mu_);
  return overflowed_;
}

WatchHub::WatchHub(ObjectTable& table, metrics::Registry& registry)
    : table_(table),
      watches_(registry.AddGauge("forkplane_store_watches", "Open watches of the object store.")),
      overflows_(registry.AddCounter("forkplane_store_watch_overflows_total",
                                     "Watches closed because their reader was too slow.")),
      dispatched_(std::make_shared<std::atomic<Revision>>(table.revision())) {}

void WatchHub::Publish(std::span<Change> changes) {
  if (changes.empty()) return;
  MutexLock lock(mu_);
  table_.Apply(changes);
  bool any_closed = false;
  for (const auto& queue : queues_) any_closed |= !queue->Push(changes);
  dispatched_->store(changes.back().revision, std::memory_order_release);
  if (any_closed) DropClosed();
}

void WatchHub::DropClosed() {
  std::erase_if(queues_, [this](const std::shared_ptr<WatchQueue>& queue) {
    if (queue->overflowed()) overflows_.Increment();
    return !queue->Push({});
  });
  watches_.Set(static_cast<double>(queues_.size()));
}

Result<std::unique_ptr<Watch>> WatchHub::Open(const Filter& filter, const WatchOptions& options) {
  UniqueFd event_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_fd.valid()) return FromErrno(errno, "open a watch: eventfd");
  auto queue = std::make_shared<WatchQueue>(std::move(event_fd), filter, options.queue_events_max);
  Snapshot state;
  std::vector<ChangePtr> changes;
  {
    MutexLock lock(mu_);
    if (closed_) return Unavailable("the store is closing");
    DropClosed();
    if (options.after == 0) {
      state = table_.Newest(filter.resource);
    } else {
      ASSIGN_OR_RETURN(changes, table_.ChangesAfter(options.after));
    }
    queues_.push_back(queue);
    watches_.Set(static_cast<double>(queues_.size()));
  }
  queue->SetBacklog(options.after == 0 ? StateEvents(state, filter, options.initial_events_end)
                                       : HistoryEvents(changes, filter));
  return std::unique_ptr<Watch>(std::make_unique<HubWatch>(std::move(queue), dispatched_));
}

void WatchHub::CloseAll() {
  MutexLock lock(mu_);
  closed_ = true;
  for (const auto& queue : queues_) queue->Close();
  queues_.clear();
  watches_.Set(0);
}

}  // namespace forkplane::store
