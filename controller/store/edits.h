// Edits that several rooms make, on top of ObjectStore::Modify.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "controller/store/object_store.h"
#include "crd/json.h"

namespace forkplane::store {

// Changes an object that the caller knows by uid ("" fits all). `change` returns false to leave it
// as it is and runs again when another writer was faster. Gone, or replaced by another one of the
// same name: success, there is nothing to change any more.
Status EditObject(ObjectStore& store, const ObjectKey& key, const std::string& uid, Part part,
                  const std::function<bool(crd::Json& object)>& change);

// Whether the object is the one with this uid.
bool HasUid(const crd::Json& object, std::string_view uid);
// Whether metadata.finalizers names it.
bool HasFinalizer(const crd::Json& object, std::string_view finalizer);
// Takes one finalizer from metadata; false: it was not there.
bool DropFinalizer(crd::Json& object, std::string_view finalizer);

}  // namespace forkplane::store
