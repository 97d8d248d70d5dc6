// The verbs of a resource but watch: get, list, create, update, patch, delete,
// deletecollection; main resource and status subresource. The store has Kubernetes' object
// semantics; here a request becomes a call of it and its result an answer.
//
// NOTE Threading: stateless; any number of threads.
#pragma once

#include "controller/apiserver/rest/body.h"
#include "controller/apiserver/rest/options.h"
#include "controller/apiserver/rest/request_context.h"
#include "controller/base/clock.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

class ResourceHandler {
 public:
  ResourceHandler(store::ObjectStore& store, const crd::TypeRegistry& registry, Clock& clock)
      : store_(store), registry_(registry), clock_(clock) {}

  ApiResult<HttpResponse> Get(const RequestContext& context);
  ApiResult<HttpResponse> List(const RequestContext& context);
  ApiResult<HttpResponse> Create(const RequestContext& context);
  ApiResult<HttpResponse> Update(const RequestContext& context);
  ApiResult<HttpResponse> Patch(const RequestContext& context);
  ApiResult<HttpResponse> Delete(const RequestContext& context);
  ApiResult<HttpResponse> DeleteCollection(const RequestContext& context);

 private:
  // Makes of what was sent what the store takes: unknown fields gone, in the storage version. The
  // warnings for the client.
  ApiResult<std::vector<std::string>> Prepare(const RequestContext& context, DecodedBody& body,
                                              FieldValidation validation);
  // Changes the stored object as the patch says, and prepares what comes out of it.
  ApiResult<std::vector<std::string>> PatchObject(const RequestContext& context,
                                                  const apiserver::Patch& patch,
                                                  FieldValidation validation, crd::Json& object);
  ApiResult<store::WriteResult> UpdateOrCreate(const RequestContext& context,
                                               const std::string& text, bool dry_run,
                                               bool& created);

  store::ObjectStore& store_;
  const crd::TypeRegistry& registry_;
  Clock& clock_;
};

// How long GET and LIST wait for a resourceVersion that is not there yet, as upstream.
inline constexpr std::chrono::milliseconds kRevisionPatience{3000};

// Reads a list as the query asks for it; shared with watch.
ApiResult<store::ListResult> ReadList(store::ObjectStore& store, const RequestContext& context,
                                      const ListQuery& query);

}  // namespace forkplane::apiserver
