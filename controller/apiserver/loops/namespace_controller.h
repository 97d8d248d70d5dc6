// A namespace that is being deleted is emptied, then let go.
#pragma once

#include <string>

#include "controller/base/clock.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

// NOTE Threading: one thread, that of the background loops.
class NamespaceController {
 public:
  NamespaceController(store::ObjectStore& store, const crd::TypeRegistry& registry, Clock& clock)
      : store_(store), registry_(registry), clock_(clock) {}

  // Before the first request: default, kube-system and kube-public are there.
  Status Start();
  // One namespace, by name. Deletes what is inside; when nothing is left, finalizes it.
  Status Reconcile(const std::string& name);

 private:
  // What finalizers still hold, as "virtualmachines.forkplane.dev has 2 resource instances".
  Result<std::vector<std::string>> DeleteContent(const std::string& name, const std::string& uid);
  Status WriteRemaining(const std::string& name, const std::vector<std::string>& remaining);

  store::ObjectStore& store_;
  const crd::TypeRegistry& registry_;
  Clock& clock_;
};

}  // namespace forkplane::apiserver
