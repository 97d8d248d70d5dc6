#include "controller/runtime/edit_typed.h"

#include <nlohmann/json.hpp>

namespace forkplane::runtime {

void TakeSpecAndLabels(const std::string& text, crd::Json& stored) {
  Result<crd::Json> object = crd::ParseJson(text);
  if (!object.ok()) return;  // never: it was written by ToText
  stored["spec"] = std::move((*object)["spec"]);
  for (const char* part : {"labels", "annotations"}) {
    crd::Json& value = (*object)["metadata"][part];
    if (value.is_object()) {
      stored["metadata"][part] = std::move(value);
    } else {
      stored["metadata"].erase(part);
    }
  }
}

}  // namespace forkplane::runtime
