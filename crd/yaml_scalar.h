// What a plain YAML scalar means to kubectl. Internal to the room.
#pragma once

#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::crd {

// sigs.k8s.io/yaml reads through go-yaml v2, so YAML 1.1 words are booleans, numbers may hold
// underscores and a leading 0 means octal; checked against `kubectl annotate --local`. Infinities
// and NaN have no JSON form: Invalid.
Result<Json> TypePlainScalar(const std::string& text);

}  // namespace forkplane::crd
