// CustomResourceDefinitions: a stored definition becomes a served resource, and says so in its
// conditions; a deleted one takes its objects with it.
//
// The definitions of our own kinds are objects too (so that `kubectl get crd` and
// `kubectl wait --for=condition=Established` work), but what is served comes from the binary. The
// store refuses to delete them (crd::ResourceType::protected_names), and none of them is ever
// retired here: that would take every object of the kind.
#pragma once

#include <map>
#include <string>

#include "controller/base/clock.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

// NOTE Threading: one thread, that of the background loops.
class CrdController {
 public:
  CrdController(store::ObjectStore& store, crd::TypeRegistry& registry, Clock& clock);

  static const store::GroupResource& Resource();

  // Before the first request: our definitions are there, everything stored is served.
  Status Start();
  // One definition, by name.
  Status Reconcile(const std::string& name);

 private:
  Status EnsureOurs(const std::string& name);
  Status KeepOurs(const store::Object& object);
  Status Retire(const store::Object& object, const crd::Json& crd);
  Result<std::size_t> DeleteInstances(const store::GroupResource& resource);
  Status WriteTerminating(const store::Object& object, std::size_t left);
  Status Register(const store::Object& object, const crd::Json& crd);
  Status Serve(const store::Object& object, const crd::Json& crd);
  Status WriteStatus(const store::Object& object, const Error* refused);

  store::ObjectStore& store_;
  crd::TypeRegistry& registry_;
  Clock& clock_;
  std::map<std::string, std::string> ours_;     // name -> JSON text of the definition
  std::map<std::string, std::string> applied_;  // name -> uid/generation that is served
};

}  // namespace forkplane::apiserver
