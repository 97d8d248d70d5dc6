// Between JSON and the store's Object.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/store/object.h"
#include "crd/json.h"

namespace forkplane::store {

// The object as it will be stored: keys sorted, metadata.resourceVersion "" and its place known, so
// that AtRevision finishes it. Whatever resourceVersion `json` has is ignored. `json` is valid:
// metadata and its parts have the types Kubernetes demands (others are read as absent).
Object BuildObject(const crd::Json& json, const std::vector<std::string>& selectable_fields);

// The same, from the text of a record; Internal when it is not a JSON object.
Result<Object> ParseObject(const std::string& text,
                           const std::vector<std::string>& selectable_fields);

// Stands for a record that cannot be read.
Object UnreadableObject(const ObjectKey& key, std::string why);

// The text without metadata.resourceVersion, for dry runs and gates.
std::string TextWithoutRevision(const crd::Json& json);

}  // namespace forkplane::store
