// The loops an API server needs beside its requests: definitions become served types, namespaces
// are emptied, dependents of deleted owners are collected, Events expire. None polls; each follows
// watches.
#pragma once

#include <memory>

#include "controller/apiserver/loops/gc.h"
#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/result.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

struct BackgroundOptions {
  store::ObjectStore& store;
  crd::TypeRegistry& registry;
  Clock& clock;
  metrics::Registry& metrics;
  Tell tell = {};  // Events of what the garbage collector finds; may be empty
  std::chrono::seconds event_ttl = std::chrono::hours(1);
};

// NOTE Threading: Start once; Stop (or the destructor) ends and joins the threads. What the options
//   name must outlive this.
class Background {
 public:
  explicit Background(BackgroundOptions options);
  ~Background();

  // Makes what must exist before the first request: namespaces default, kube-system and
  // kube-public, and the CustomResourceDefinition objects of our own kinds; serves every stored
  // definition. Then starts the loops.
  Status Start();
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forkplane::apiserver
