// A store that may refuse to create, for tests of the loops that make children.
#pragma once

#include <functional>
#include <string>

#include "controller/runtime/informer.h"
#include "controller/runtime/typed_object.h"
#include "crd/types.h"
#include "tests/support/forwarding_store.h"

namespace forkplane::fork_set {

inline const store::GroupResource kForks{"forkplane.dev", "forks"};

// Passes everything on; creations of our kinds meet `gate` first.
class GatedStore final : public testing::ForwardingStore {
 public:
  using ForwardingStore::Create;
  using ForwardingStore::ForwardingStore;
  std::function<Status(const store::GroupResource&, const std::string& text)> gate;

  Result<store::WriteResult> Create(const store::GroupResource& resource, const std::string& ns,
                                    const std::string& text,
                                    const store::WriteOptions& options) override {
    if (resource.group == crd::kGroup && gate) RETURN_IF_ERROR(gate(resource, text));
    return ForwardingStore::Create(resource, ns, text, options);
  }
};

template <typename T>
runtime::Informer<T> InformerOf(store::ObjectStore& store) {
  return runtime::Informer<T>(store, {.resource = runtime::ResourceOf<T>()},
                              [](const store::Object& object) { return T::FromText(object.text); });
}

}  // namespace forkplane::fork_set
