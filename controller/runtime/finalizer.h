// Finalizers, one write each. Creators of ours set them in the object's first write; only what a
// user made pays for AddFinalizer.
#pragma once

#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "controller/store/object_store.h"

namespace forkplane::runtime {

// On the object as the store has it now, not as a cache remembers it. Having it already is success
// without a write. NotFound: gone, or the name belongs to another uid by now. Invalid: it is being
// deleted and takes no new finalizer.
Status AddFinalizer(store::ObjectStore& store, const store::ObjectKey& key, const std::string& uid,
                    std::string_view finalizer);

// Gone, replaced by a namesake, or without it already: success.
Status RemoveFinalizer(store::ObjectStore& store, const store::ObjectKey& key,
                       const std::string& uid, std::string_view finalizer);

}  // namespace forkplane::runtime
