// Kubernetes Events (core/v1) about our objects: written on transitions, for people. Never a source
// of truth; a lost one is only counted.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/base/rng.h"
#include "controller/runtime/limits.h"
#include "controller/store/object_store.h"

namespace forkplane::runtime {

enum class EventType : std::uint8_t { kNormal, kWarning };

// What an Event is about.
struct ObjectReference {
  std::string api_version;
  std::string kind;
  std::string ns;  // empty: cluster-scoped, its Events live in "default"
  std::string name;
  std::string uid;
};
ObjectReference ReferenceTo(const store::Object& object);

// NOTE Threading: Record from anywhere, never waits; one thread writes.
// NOTE Monitoring: forkplane_events_recorded_total{type}, forkplane_events_dropped_total.
class EventRecorder {
 public:
  // `component` and `host` become the Event's source: who saw it, and where.
  EventRecorder(store::ObjectStore& store, std::string component, std::string host, Clock& clock,
                Rng& rng, metrics::Registry& registry);
  ~EventRecorder();  // stops; what still waits is lost
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  // `reason` is CamelCase from the catalogue. The same reason and message about the same object
  // again raises the count of the Event that is there. So does another message once there are
  // kSimilarEventsMax of a reason: that Event then says "(combined from similar events)" and the
  // newest message. An object thus has a bounded number of Events whatever happens to it.
  void Record(const ObjectReference& about, EventType type, const std::string& reason,
              const std::string& message) EXCLUDES(mu_);

  void Start();
  void Stop();
  // Writes one waiting Event; false when there is none. For simulations.
  bool ProcessOne() EXCLUDES(mu_);

 private:
  struct Pending {
    ObjectReference about;
    EventType type = EventType::kNormal;
    std::string reason;
    std::string message;
    WallTime at;
  };
  struct Known {
    store::ObjectKey key;
    std::string series;  // object, type and reason
    std::list<std::string>::iterator age;
  };

  void Run(const std::stop_token& stop);
  Status Write(Pending pending);
  Status CountAgain(const store::ObjectKey& key, const Pending& pending);
  static std::string SeriesOf(const Pending& pending);
  Status CreateNew(const Pending& pending, const std::string& identity);
  void Remember(const std::string& identity, const std::string& series,
                const store::ObjectKey& key);
  void Forget(const std::string& identity);

  store::ObjectStore& store_;
  std::string component_;
  std::string host_;
  Clock& clock_;
  Rng& rng_;
  metrics::Counter recorded_normal_;
  metrics::Counter recorded_warning_;
  metrics::Counter dropped_;
  Mutex mu_;
  CondVar changed_;
  std::deque<Pending> queue_ GUARDED_BY(mu_);
  // Only the writing thread touches these: identity -> Event, oldest at the front of ages_.
  std::unordered_map<std::string, Known> known_;
  std::list<std::string> ages_;
  std::unordered_map<std::string, std::size_t> similar_;  // by series: how many of it are known
  std::jthread thread_;
};

}  // namespace forkplane::runtime
