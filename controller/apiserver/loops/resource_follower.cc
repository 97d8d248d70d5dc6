#include "controller/apiserver/loops/resource_follower.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <limits>

#include "controller/base/check.h"

namespace forkplane::apiserver {
namespace {

constexpr int kEventsPerDrainMax = 1000;

void Signal(int fd) {
  const std::uint64_t one = 1;
  // A full counter is a wake-up too.
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof(one));
}

int PollTimeout(MonotonicTime now, MonotonicTime deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

}  // namespace

ResourceFollower::ResourceFollower(store::ObjectStore& store, crd::TypeRegistry& registry)
    : store_(store),
      registry_(registry),
      wake_(std::make_shared<UniqueFd>(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {
  CHECK(wake_->valid());
  subscription_ = registry_.Subscribe([wake = wake_] { Signal(wake->get()); });
}

ResourceFollower::~ResourceFollower() { registry_.Unsubscribe(subscription_); }

void ResourceFollower::Wait(const std::stop_token& stop, MonotonicTime deadline, Clock& clock) {
  const int fd = wake_->get();
  const std::stop_callback on_stop(stop, [fd] { Signal(fd); });
  std::vector<pollfd> fds{{.fd = fd, .events = POLLIN, .revents = 0}};
  for (const auto& [resource, follow] : follows_) {
    if (follow.watch != nullptr) {
      fds.push_back({.fd = follow.watch->event_fd(), .events = POLLIN, .revents = 0});
    }
  }
  ::poll(fds.data(), fds.size(), PollTimeout(clock.Now(), deadline));
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd, &count, sizeof(count));
}

bool ResourceFollower::Synced() const {
  if (opened_for_ != registry_.version()) return false;
  return std::all_of(follows_.begin(), follows_.end(),
                     [](const auto& item) { return item.second.synced; });
}

store::Revision ResourceFollower::SeenThrough() const {
  store::Revision seen = std::numeric_limits<store::Revision>::max();
  for (const auto& [resource, follow] : follows_) seen = std::min(seen, follow.seen);
  return seen;
}

Status ResourceFollower::OpenMissing() {
  const std::uint64_t version = registry_.version();
  if (version != opened_for_) {
    std::map<store::GroupResource, Follow> kept;
    for (const crd::ResourceTypePtr& type : registry_.List()) {
      const store::GroupResource resource{type->group, type->plural};
      const auto it = follows_.find(resource);
      if (it != follows_.end()) {
        kept[resource] = std::move(it->second);
        follows_.erase(it);
      } else {
        kept.try_emplace(resource);
      }
    }
    follows_ = std::move(kept);
  }
  for (auto& [resource, follow] : follows_) {
    if (follow.watch != nullptr && !follow.watch->ended()) continue;
    follow.synced = false;
    follow.unconfirmed = follow.known;
    ASSIGN_OR_RETURN(follow.watch,
                     store_.OpenWatch(resource, store::WatchOptions{.initial_events_end = true}));
  }
  opened_for_ = version;
  return OkStatus();
}

void ResourceFollower::DrainOne(const store::GroupResource& resource, Follow& follow,
                                std::vector<Sighting>& sightings) {
  for (int i = 0; i < kEventsPerDrainMax; ++i) {
    std::optional<store::WatchEvent> event = follow.watch->TryNext();
    if (!event) {
      // A resource in which nothing happens keeps up too.
      follow.seen = std::max(follow.seen, follow.watch->SentThrough());
      return;
    }
    // The initial state is in the order of revisions, but complete only at its end.
    if (follow.synced || event->initial_events_end) follow.seen = event->revision;
    if (event->type == store::EventType::kBookmark) {
      if (!event->initial_events_end) continue;
      follow.synced = true;
      // Known before, not there any more: it went while no watch was open.
      for (const auto& [uid, object] : follow.unconfirmed) {
        follow.known.erase(uid);
        sightings.push_back({resource, object, true});
      }
      follow.unconfirmed.clear();
      continue;
    }
    const std::string& uid = event->object->meta.uid;
    const bool gone = event->type == store::EventType::kDeleted;
    follow.unconfirmed.erase(uid);
    if (gone) {
      follow.known.erase(uid);
    } else {
      follow.known[uid] = event->object;
    }
    sightings.push_back({resource, std::move(event->object), gone});
  }
}

Result<std::vector<Sighting>> ResourceFollower::Drain() {
  RETURN_IF_ERROR(OpenMissing());
  std::vector<Sighting> sightings;
  for (auto& [resource, follow] : follows_) DrainOne(resource, follow, sightings);
  return sightings;
}

}  // namespace forkplane::apiserver
