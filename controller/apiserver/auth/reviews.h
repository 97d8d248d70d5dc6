// Questions about oneself: `kubectl auth can-i`, `kubectl auth can-i --list`, `kubectl auth
// whoami`. The answers come from the rules by which requests are let in.
#pragma once

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/request_context.h"

namespace forkplane::apiserver {

// `context.type` is one of ReviewTypes. 201 with the review and its status, as upstream also when
// the answer is no.
ApiResult<HttpResponse> AnswerReview(const RequestContext& context);

}  // namespace forkplane::apiserver
