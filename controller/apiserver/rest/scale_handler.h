// The scale subresource: autoscaling/v1 Scale as a view on two or three fields of the object.
//
// NOTE Threading: stateless; any number of threads.
#pragma once

#include <functional>

#include "controller/apiserver/rest/body.h"
#include "controller/apiserver/rest/options.h"
#include "controller/apiserver/rest/request_context.h"

namespace forkplane::apiserver {

class ScaleHandler {
 public:
  explicit ScaleHandler(store::ObjectStore& store) : store_(store) {}

  ApiResult<HttpResponse> Get(const RequestContext& context);
  // PUT: resourceVersion is optional. PATCH: a patch on the Scale, not on the object.
  ApiResult<HttpResponse> Update(const RequestContext& context);
  ApiResult<HttpResponse> Patch(const RequestContext& context);

 private:
  ApiResult<HttpResponse> Write(const RequestContext& context, const WriteQuery& query,
                                const std::function<ApiResult<bool>(crd::Json& object)>& edit);

  store::ObjectStore& store_;
};

}  // namespace forkplane::apiserver
