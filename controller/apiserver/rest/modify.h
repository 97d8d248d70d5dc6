// Modify for handlers: an edit that answers with a Status of its own.
#pragma once

#include <utility>

#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/request_context.h"
#include "controller/store/object_store.h"

namespace forkplane::apiserver {

// Reads, changes and writes the object of the request as one step (ObjectStore::Modify). `edit` is
// called as `ApiResult<bool>(crd::Json& object)` under the rules of store::Edit; the Status with
// which it refuses is the answer.
template <typename ApiEdit>
ApiResult<store::WriteResult> ModifyObject(store::ObjectStore& store, const RequestContext& context,
                                           const store::UpdateOptions& options,
                                           const ApiEdit& edit) {
  std::optional<ApiStatus> refusal;
  const store::Edit storable = [&](crd::Json& object) -> Result<bool> {
    ApiResult<bool> edited = edit(object);
    if (edited.ok()) return *edited;
    refusal = std::move(edited).error();
    return Invalid(refusal->message);
  };
  Result<store::WriteResult> written = store.Modify(context.Key(), storable, options);
  if (!written.ok() && refusal) return *std::move(refusal);
  return Lift(std::move(written), context.Ref());
}

}  // namespace forkplane::apiserver
