// The kinds that a client asks questions with: they are created, answered, and kept nowhere.
#pragma once

#include <vector>

#include "controller/apiserver/rest/request_info.h"
#include "crd/resource_type.h"

namespace forkplane::apiserver {

// SelfSubjectAccessReview, SelfSubjectRulesReview and SelfSubjectReview, by group.
const std::vector<crd::ResourceTypePtr>& ReviewTypes();

// Null: the request is about something else.
crd::ResourceTypePtr FindReview(const RequestInfo& info);

}  // namespace forkplane::apiserver
