// The `paths` part of OpenAPI documents. kubectl reads three things from it: which kinds have which
// actions, and whether PATCH takes dryRun and fieldValidation.
#pragma once

#include "controller/apiserver/discovery/openapi_schemas.h"

namespace forkplane::apiserver {

void AddTypePaths(const crd::ResourceType& type, OpenApiVersion version, crd::Json& paths);

}  // namespace forkplane::apiserver
