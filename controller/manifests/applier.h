// Writes one manifest into the store, and finds and removes what the directory no longer holds.
//
// Ownership is on the object itself, so that a restart knows it: the label
// app.kubernetes.io/managed-by=forkplane-manifests, the annotation manifests.forkplane.dev/source
// (the file) and manifests.forkplane.dev/last-applied (the document, for the three-way merge).
//
// NOTE Threading: one thread.
#pragma once

#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/manifests/manifest.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::manifests {

inline constexpr const char* kManagedByLabel = "app.kubernetes.io/managed-by";
inline constexpr const char* kManagedByValue = "forkplane-manifests";
inline constexpr const char* kSourceAnnotation = "manifests.forkplane.dev/source";
inline constexpr const char* kLastAppliedAnnotation = "manifests.forkplane.dev/last-applied";

enum class Applied : std::uint8_t { kCreated, kUpdated, kUnchanged };

class Applier {
 public:
  Applier(store::ObjectStore& objects, const crd::TypeRegistry& types)
      : objects_(objects), types_(types) {}

  // Where the object lives. Unavailable: its kind is not served (yet: its definition may just have
  // been applied).
  Result<store::ObjectKey> KeyOf(const Manifest& manifest) const;
  // Unavailable: the object is being deleted, or others keep changing it; try again later. Invalid:
  // the text says which fields and why.
  Result<Applied> Apply(const store::ObjectKey& key, const Manifest& manifest);

  struct Owned {
    store::ObjectKey key;
    std::string uid;
    std::string kind;
    bool terminating = false;
  };
  // Every object that came from a manifests directory.
  Result<std::vector<Owned>> ListOwned();
  // Deletes it if it is still the same object; absent is fine.
  Status Prune(const Owned& owned);

 private:
  store::ObjectStore& objects_;
  const crd::TypeRegistry& types_;
};

}  // namespace forkplane::manifests
