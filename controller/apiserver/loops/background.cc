#include "controller/apiserver/loops/background.h"

#include <set>
#include <thread>

#include "controller/apiserver/loops/crd_controller.h"
#include "controller/apiserver/loops/event_expiry.h"
#include "controller/apiserver/loops/gc.h"
#include "controller/apiserver/loops/namespace_controller.h"
#include "controller/apiserver/loops/resource_follower.h"
#include "controller/base/log.h"

namespace forkplane::apiserver {
namespace {

constexpr std::chrono::milliseconds kRetryFirst{200};
constexpr std::chrono::milliseconds kRetryMax{30'000};
constexpr std::chrono::seconds kExpiryStep{1};  // Events that are due soon go together
constexpr std::chrono::minutes kIdle{1};        // a wait this long ends without anything to do

}  // namespace

class Background::Impl {
 public:
  explicit Impl(BackgroundOptions options)
      : options_(options),
        follower_(options.store, options.registry),
        crds_(options.store, options.registry, options.clock),
        namespaces_(options.store, options.registry, options.clock),
        gc_(options.store, options.registry, options.metrics, options.tell),
        events_(options.store, options.event_ttl, options.clock, options.metrics),
        failures_(options.metrics.AddCounter(
            "forkplane_background_failures_total",
            "Passes of the API server's background loops that failed and are retried.")) {}

  Status Start() {
    RETURN_IF_ERROR(namespaces_.Start());
    RETURN_IF_ERROR(crds_.Start());
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
    return OkStatus();
  }

  void Stop() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }

 private:
  void Run(const std::stop_token& stop) {
    std::chrono::milliseconds backoff = kRetryFirst;
    while (!stop.stop_requested()) {
      const Status passed = Pass();
      MonotonicTime deadline = options_.clock.Now() + kIdle;
      if (passed.ok()) {
        backoff = kRetryFirst;
        // What was found on the way is looked at after the events of what was just done.
        if (!gc_.idle() && follower_.Synced()) deadline = options_.clock.Now();
        if (const std::optional<WallTime> due = events_.NextDue()) {
          const auto left =
              std::chrono::ceil<std::chrono::seconds>(*due - options_.clock.WallNow());
          deadline = std::min(deadline, options_.clock.Now() + std::max(left, kExpiryStep));
        }
      } else {
        failures_.Increment();
        log::Warn("background pass failed", {{"error", passed.error()}});
        deadline = options_.clock.Now() + backoff;
        backoff = std::min(backoff * 2, kRetryMax);
      }
      follower_.Wait(stop, deadline, options_.clock);
    }
  }

  // Everything that is to do now. What failed stays in its set.
  Status Pass() {
    ASSIGN_OR_RETURN(const std::vector<Sighting> sightings, follower_.Drain());
    for (const Sighting& sighting : sightings) Note(sighting);
    Status result = OkStatus();
    Each(dirty_crds_, result, [this](const std::string& name) { return crds_.Reconcile(name); });
    Each(dirty_namespaces_, result,
         [this](const std::string& name) { return namespaces_.Reconcile(name); });
    // Before everything was seen once, an owner may look absent only because it is not here yet.
    if (follower_.Synced()) {
      Status collected = gc_.Collect(follower_.SeenThrough());
      if (!collected.ok()) result = std::move(collected);
    }
    Status expired = events_.Collect();
    if (!expired.ok()) result = std::move(expired);
    return result;
  }

  void Note(const Sighting& sighting) {
    const store::Meta& meta = sighting.object->meta;
    if (sighting.resource == CrdController::Resource()) {
      dirty_crds_.insert(meta.name);
      if (meta.terminating() && !sighting.gone) {
        retiring_crds_.insert(meta.name);
      } else {
        retiring_crds_.erase(meta.name);
      }
    }
    if (sighting.resource == store::GroupResource{"", "namespaces"}) {
      if (meta.terminating() && !sighting.gone) {
        terminating_namespaces_.insert(meta.name);
        dirty_namespaces_.insert(meta.name);
      } else {
        terminating_namespaces_.erase(meta.name);
      }
    }
    if (terminating_namespaces_.contains(meta.ns)) dirty_namespaces_.insert(meta.ns);
    NoteForRetiring(sighting);
    if (sighting.resource == EventExpiry::Resource()) {  // they own nothing
      if (sighting.gone) {
        events_.Gone(sighting.object);
      } else {
        events_.Changed(sighting.object);
      }
      return;
    }
    if (sighting.gone) {
      gc_.Gone(sighting.object);
    } else {
      gc_.Changed(sighting.resource, sighting.object);
    }
  }

  // The last object of a definition that is being deleted lets the definition go.
  void NoteForRetiring(const Sighting& sighting) {
    if (!sighting.gone || retiring_crds_.empty()) return;
    const std::string name = sighting.resource.plural + "." + sighting.resource.group;
    if (retiring_crds_.contains(name)) dirty_crds_.insert(name);
  }

  template <typename Reconcile>
  static void Each(std::set<std::string>& dirty, Status& result, const Reconcile& reconcile) {
    const std::set<std::string> work = std::move(dirty);
    dirty.clear();
    for (const std::string& name : work) {
      Status status = reconcile(name);
      if (status.ok()) continue;
      dirty.insert(name);
      result = std::move(status);
    }
  }

  BackgroundOptions options_;
  ResourceFollower follower_;
  CrdController crds_;
  NamespaceController namespaces_;
  GarbageCollector gc_;
  EventExpiry events_;
  metrics::Counter failures_;
  std::set<std::string> dirty_crds_;
  std::set<std::string> retiring_crds_;
  std::set<std::string> dirty_namespaces_;
  std::set<std::string> terminating_namespaces_;
  std::jthread thread_;  // last: it uses all of the above
};

Background::Background(BackgroundOptions options) : impl_(std::make_unique<Impl>(options)) {}
Background::~Background() { Stop(); }
Status Background::Start() { return impl_->Start(); }
void Background::Stop() { impl_->Stop(); }

}  // namespace forkplane::apiserver
