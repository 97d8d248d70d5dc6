// The scale subresource: autoscaling/v1 Scale as a view on two or three fields of the object.
//
// NOTE Threading: stateless; any number of threads.
#pragma once

#include "controller/apiserver/rest/body.h"
#include "controller/apiserver/rest/options.h"
#include "controller/apiserver/rest/request_context.h"

namespace forkplane::apiserver {

class ScaleHandler {
 public:
  explicit ScaleHandler(store::ObjectStore& store) : store_(store) {}

  ApiResult<HttpResponse> Get(const RequestContext& context);
  // PUT: resourceVersion is optional. PATCH: merge patch only.
  ApiResult<HttpResponse> Update(const RequestContext& context);
  ApiResult<HttpResponse> Patch(const RequestContext& context);

 private:
  // Reads, changes the Scale, writes the replicas back; again when somebody else was faster and the
  // client gave no revision.
  ApiResult<HttpResponse> Write(const RequestContext& context, const crd::Json& body, bool merge);
  ApiResult<HttpResponse> WriteOnce(const RequestContext& context, const crd::Json& body,
                                    bool merge, bool dry_run);

  store::ObjectStore& store_;
};

}  // namespace forkplane::apiserver
