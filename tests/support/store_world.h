// A store with a small custom kind, for tests of the store and of what stands on it.
#pragma once

#include <memory>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/rng.h"
#include "controller/store/local_object_store.h"
#include "crd/type_registry.h"

namespace forkplane::testing {

inline const store::GroupResource kThings{"test.dev", "things"};
inline const store::GroupResource kNamespaces{"", "namespaces"};

// The built-ins, and Thing (namespaced, status subresource, selectable status.phase): spec.size 0
// to 1000000, default 1; spec.note; status.phase, status.conditions.
std::unique_ptr<crd::TypeRegistry> ThingRegistry();

// {"apiVersion":"test.dev/v1","kind":"Thing","metadata":{"name":name, metadata},"spec":{spec}};
// `metadata` and `spec` are the inside of JSON objects.
std::string ThingText(const std::string& name, const std::string& spec = "",
                      const std::string& metadata = "");

// `text` with the value at a JSON pointer ("/spec/size") set; `value` is JSON, empty: removed.
std::string With(const std::string& text, const std::string& pointer, const std::string& value);
// The value at a JSON pointer as JSON text; empty when absent.
std::string At(const std::string& text, const std::string& pointer);

struct StoreWorld {
  // With a memory log when none is given; the namespaces default and other are made.
  explicit StoreWorld(std::unique_ptr<store::RevisionLog> log = nullptr,
                      store::AdmissionGate* gate = nullptr);

  store::ObjectKey Key(const std::string& name, const std::string& ns = "default") const {
    return {kThings, ns, name};
  }
  // Null: absent.
  store::ObjectPtr Get(const std::string& name, const std::string& ns = "default");
  store::ObjectPtr Create(const std::string& name, const std::string& spec = "",
                          const std::string& metadata = "", const std::string& ns = "default");

  ManualClock clock;
  SeededRng rng{1};
  metrics::Registry registry;
  std::unique_ptr<crd::TypeRegistry> types = ThingRegistry();
  std::unique_ptr<store::LocalObjectStore> store;
};

}  // namespace forkplane::testing
