// What the store, the Events and the status writer need to know of an object, from its C++ type.
#pragma once

#include <string>
#include <utility>

#include "controller/runtime/event_recorder.h"
#include "controller/store/object.h"
#include "crd/json.h"
#include "crd/virtual_machine.h"

namespace forkplane::runtime {

// T is a kind of crd/types.h.
template <typename T>
store::GroupResource ResourceOf() {
  return {std::string(crd::kGroup), std::string(T::kPlural)};
}

// Where an object lives in the store.
template <typename T>
store::ObjectKey KeyOf(const std::string& ns, const std::string& name) {
  return {ResourceOf<T>(), ns, name};
}
template <typename T>
store::ObjectKey KeyOf(const T& object) {
  return KeyOf<T>(object.metadata.ns, object.metadata.name);
}

template <typename T>
ObjectReference ReferenceTo(const T& object) {
  return {.api_version = std::string(crd::kApiVersion),
          .kind = std::string(T::kKind),
          .ns = object.metadata.ns,
          .name = object.metadata.name,
          .uid = object.metadata.uid};
}

// What StatusWriter takes. The caller includes nlohmann/json.hpp.
template <typename T>
std::string StatusText(T object, decltype(T::status) status) {
  object.status = std::move(status);
  return crd::DumpJson(object.ToJson()["status"]);
}

}  // namespace forkplane::runtime
