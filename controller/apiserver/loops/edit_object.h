// Read, change, write, and again when somebody else was faster: how the background loops touch
// objects they do not own alone.
#pragma once

#include <functional>
#include <string>

#include "controller/store/object_store.h"
#include "crd/json.h"

namespace forkplane::apiserver {

// Returns false to leave the object as it is.
using Edit = std::function<bool(crd::Json& object)>;

// An object that is gone, or is another one of the same name (uid differs; "" fits all), is no
// error: there is nothing to edit any more.
Status EditObject(store::ObjectStore& store, const store::ObjectKey& key, const std::string& uid,
                  store::Part part, const Edit& edit);

// Edit that takes one finalizer from metadata.
bool DropFinalizer(crd::Json& object, std::string_view finalizer);

}  // namespace forkplane::apiserver
