#include "controller/runtime/reflector.h"

#include <algorithm>

#include "controller/base/log.h"
#include "controller/runtime/limits.h"
#include "controller/store/errors.h"

namespace forkplane::runtime {
namespace {

// How often an idle reflector notes that it is up to date.
constexpr std::chrono::seconds kProgressPeriod{1};

std::string KeyOf(const store::Object& object) {
  return store::NamespacedName(object.meta.ns, object.meta.name);
}

}  // namespace

Reflector::Reflector(store::ObjectStore& store, InformerOptions options, Sink sink)
    : store_(store), options_(std::move(options)), sink_(std::move(sink)) {}

Reflector::~Reflector() { Stop(); }

void Reflector::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void Reflector::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

bool Reflector::HasSynced() const {
  MutexLock lock(mu_);
  return synced_;
}

store::Revision Reflector::SeenThrough() const {
  MutexLock lock(mu_);
  return seen_;
}

bool Reflector::WaitForSync(const std::stop_token& stop, MonotonicTime deadline) const {
  MutexLock lock(mu_);
  return changed_.WaitUntil(mu_, stop, deadline,
                            [this]() NO_THREAD_SAFETY_ANALYSIS { return synced_; });
}

bool Reflector::WaitFor(store::Revision revision, const std::stop_token& stop,
                        MonotonicTime deadline) const {
  MutexLock lock(mu_);
  return changed_.WaitUntil(mu_, stop, deadline, [this, revision]() NO_THREAD_SAFETY_ANALYSIS {
    return synced_ && seen_ >= revision;
  });
}

void Reflector::MarkSeen(store::Revision revision, bool synced) {
  MutexLock lock(mu_);
  seen_ = std::max(seen_, revision);
  synced_ = synced_ || synced;
  changed_.NotifyAll();
}

void Reflector::Run(const std::stop_token& stop) {
  std::chrono::nanoseconds pause = kInformerRetryFirst;
  while (!stop.stop_requested()) {
    const Status connected = Connect();
    if (!connected.ok()) {
      log::Warn("informer cannot reach the store",
                {{"resource", ToString(options_.resource)}, {"err", connected.error()}});
      MutexLock lock(mu_);
      changed_.WaitUntil(mu_, stop, RealClock().Now() + pause, [] { return false; });
      pause = std::min<std::chrono::nanoseconds>(pause * 2, kInformerRetryMax);
      continue;
    }
    pause = kInformerRetryFirst;
    const auto event = watch_->Next(stop, RealClock().Now() + kProgressPeriod);
    if (event) {
      Apply(*event);
      continue;
    }
    MarkSeen(watch_->SentThrough(), false);
    if (watch_->ended()) watch_.reset();  // the next Connect resumes
  }
  watch_.reset();
}

Status Reflector::Step() {
  while (true) {
    RETURN_IF_ERROR(Connect());
    while (const auto event = watch_->TryNext()) Apply(*event);
    MarkSeen(watch_->SentThrough(), false);
    if (!watch_->ended()) return OkStatus();
    watch_.reset();
  }
}

// Lists when there is no position to resume from, then watches. A position that expired is given up
// and listed anew, once: a fresh list's revision is in the history.
Status Reflector::Connect() {
  if (watch_) return OkStatus();
  for (bool relisted = false;; relisted = true) {
    if (!listed_) RETURN_IF_ERROR(Relist());
    Result<std::unique_ptr<store::Watch>> watch =
        store_.OpenWatch(options_.resource, {.ns = options_.ns,
                                             .labels = options_.labels,
                                             .fields = options_.fields,
                                             .after = position_});
    if (watch.ok()) {
      watch_ = std::move(watch).value();
      return OkStatus();
    }
    if (!store::IsExpired(watch.error()) || relisted) return std::move(watch).error();
    listed_ = false;
    log::Info("informer lists again", {{"resource", ToString(options_.resource)}});
  }
}

Status Reflector::Relist() {
  std::map<std::string, store::ObjectPtr> found;
  store::ListOptions options{.ns = options_.ns,
                             .labels = options_.labels,
                             .fields = options_.fields,
                             .limit = static_cast<std::int64_t>(kInformerPageSize)};
  store::Revision revision = 0;
  do {
    ASSIGN_OR_RETURN(store::ListResult page, store_.List(options_.resource, options));
    for (store::ObjectPtr& object : page.items) found.emplace(KeyOf(*object), std::move(object));
    options.continue_token = page.continue_token;
    revision = page.revision;
  } while (!options.continue_token.empty());

  std::vector<std::string> gone;
  for (const auto& [key, object] : known_) {
    if (found.count(key) == 0) gone.push_back(key);
  }
  for (const std::string& key : gone) Remove(key);
  for (auto& [key, object] : found) Replace(std::move(object));
  listed_ = true;
  position_ = revision;
  MarkSeen(revision, true);
  return OkStatus();
}

void Reflector::Apply(const store::WatchEvent& event) {
  switch (event.type) {
    case store::EventType::kAdded:
    case store::EventType::kModified:
      Replace(event.object);
      break;
    case store::EventType::kDeleted:
      Remove(KeyOf(*event.object));
      break;
    case store::EventType::kBookmark:
      break;
  }
  position_ = std::max(position_, event.revision);
  MarkSeen(event.revision, false);
}

void Reflector::Replace(store::ObjectPtr object) {
  store::ObjectPtr& known = known_[KeyOf(*object)];
  store::ObjectPtr before = known;
  const bool same = before && before->meta.uid == object->meta.uid;
  if (same && before->meta.revision >= object->meta.revision) return;
  known = object;
  // Deleted and made again while nobody looked: two changes, so that work keyed by uid sees both.
  if (before && !same) {
    sink_(before, nullptr);
    before = nullptr;
  }
  sink_(before, object);
}

void Reflector::Remove(const std::string& key) {
  const auto it = known_.find(key);
  if (it == known_.end()) return;
  const store::ObjectPtr before = std::move(it->second);
  known_.erase(it);
  sink_(before, nullptr);
}

}  // namespace forkplane::runtime
