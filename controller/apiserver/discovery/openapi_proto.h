// OpenAPI v2 as a protocol buffer: message openapi.v2.Document of gnostic, the only form that
// kubectl up to 1.28 reads. Carries what clients use: kinds with their fields, descriptions, types
// and extensions; actions with their query parameters.
#pragma once

#include <string>

#include "crd/json.h"

namespace forkplane::apiserver {

std::string EncodeOpenApiV2(const crd::Json& swagger);

}  // namespace forkplane::apiserver
