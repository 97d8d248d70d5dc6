// What every handler of a resource needs to know about its request.
#pragma once

#include <string>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/request_info.h"
#include "controller/store/object_store.h"
#include "crd/resource_type.h"

namespace forkplane::apiserver {

// Lives as long as the call of Handle; a stream function must not keep it.
struct RequestContext {
  const HttpRequest& http;
  const RequestInfo& info;
  crd::ResourceTypePtr type;

  ObjectRef Ref() const { return Ref(info.name); }
  ObjectRef Ref(const std::string& name) const {
    return {.group = type->group, .resource = type->plural, .kind = type->kind, .name = name};
  }
  store::GroupResource Resource() const { return {type->group, type->plural}; }
  store::ObjectKey Key() const {
    return {.resource = Resource(), .ns = info.namespace_name, .name = info.name};
  }
};

}  // namespace forkplane::apiserver
