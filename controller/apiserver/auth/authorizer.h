// Who is asking and whether they may. Today: the holders of a certificate in group system:masters
// may do everything, everybody may see version and health.
#pragma once

#include <optional>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/request_info.h"

namespace forkplane::apiserver {

// The refusal: 401 without an identity, 403 with one that lacks the right; none: go on.
std::optional<ApiStatus> Authorize(const HttpRequest& request, const RequestInfo& info);

}  // namespace forkplane::apiserver
