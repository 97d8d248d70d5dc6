// Follows every stored object of every served resource over watches, one thread, one poll(2).
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/unique_fd.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

struct Sighting {
  store::GroupResource resource;
  store::ObjectPtr object;  // the last state when gone
  bool gone = false;
};

// NOTE Threading: Wait, Drain and Synced belong to one thread; the registry's callback only wakes.
class ResourceFollower {
 public:
  ResourceFollower(store::ObjectStore& store, crd::TypeRegistry& registry);
  ~ResourceFollower();
  ResourceFollower(const ResourceFollower&) = delete;
  ResourceFollower& operator=(const ResourceFollower&) = delete;

  // Until something may have happened, the deadline, or the stop.
  void Wait(const std::stop_token& stop, MonotonicTime deadline, Clock& clock);
  // What happened since the last call. Opens watches of new resources and reopens ended ones.
  Result<std::vector<Sighting>> Drain();
  // Every event up to this revision was given out by Drain, of whatever resource.
  store::Revision SeenThrough() const;
  // Whether the present state of every resource was seen once.
  bool Synced() const;

 private:
  struct Follow {
    std::unique_ptr<store::Watch> watch;
    std::map<std::string, store::ObjectPtr> known;        // by uid
    std::map<std::string, store::ObjectPtr> unconfirmed;  // known before a reopening
    bool synced = false;
    store::Revision seen = 0;
  };
  Status OpenMissing();
  static void DrainOne(const store::GroupResource& resource, Follow& follow,
                       std::vector<Sighting>& sightings);

  store::ObjectStore& store_;
  crd::TypeRegistry& registry_;
  std::shared_ptr<UniqueFd> wake_;  // shared with the callback, which may outlive the subscription
  int subscription_ = 0;
  std::uint64_t opened_for_ = 0;  // registry version
  std::map<store::GroupResource, Follow> follows_;
};

}  // namespace forkplane::apiserver
