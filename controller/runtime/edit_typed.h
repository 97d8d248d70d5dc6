// An edit of a stored object by its C++ type.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "controller/store/edits.h"

namespace forkplane::runtime {

// Puts spec, labels and annotations of `text` (an object as JSON) into `stored`.
void TakeSpecAndLabels(const std::string& text, crd::Json& stored);

// Changes spec, labels and annotations of the object with this uid ("" fits all); false leaves it
// as it is. `change` runs again when another writer was faster. Gone: success.
template <typename T>
Status EditTyped(store::ObjectStore& store, const store::ObjectKey& key, const std::string& uid,
                 const std::function<bool(T& object)>& change) {
  std::optional<Error> unreadable;
  RETURN_IF_ERROR(store::EditObject(store, key, uid, store::Part::kMain, [&](crd::Json& stored) {
    unreadable.reset();
    Result<T> object = T::FromJson(stored);
    if (!object.ok()) {
      unreadable = object.error();
      return false;
    }
    if (!change(*object)) return false;
    TakeSpecAndLabels(object->ToText(), stored);
    return true;
  }));
  if (unreadable) return *std::move(unreadable);
  return OkStatus();
}

}  // namespace forkplane::runtime
