// Events go some time after they were last written (Kubernetes' --event-ttl). Fed by what is seen;
// nothing is listed.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/result.h"
#include "controller/store/object_store.h"

namespace forkplane::apiserver {

// NOTE Threading: one thread.
// NOTE Monitoring: forkplane_events_expired_total.
class EventExpiry {
 public:
  // `ttl` counts from the last time of the Event that is not in the future (lastTimestamp, its
  // series, creation), and from when this daemon first saw it when it has none.
  EventExpiry(store::ObjectStore& store, std::chrono::seconds ttl, Clock& clock,
              metrics::Registry& metrics);

  static const store::GroupResource& Resource();
  void Changed(const store::ObjectPtr& event);
  void Gone(const store::ObjectPtr& event);

  // Deletes what is due. An Event that was written meanwhile stays.
  Status Collect();
  // When the next one is due.
  std::optional<WallTime> NextDue() const;

 private:
  struct Known {
    WallTime due;
    store::ObjectKey key;
    store::Revision revision = 0;
  };
  void Forget(const std::string& uid);

  store::ObjectStore& store_;
  const std::chrono::seconds ttl_;
  Clock& clock_;
  metrics::Counter expired_;
  std::map<std::string, Known> known_;                  // by uid
  std::set<std::pair<WallTime, std::string>> by_time_;  // due, uid
};

}  // namespace forkplane::apiserver
