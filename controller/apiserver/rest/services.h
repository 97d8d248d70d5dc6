// The core resource "services": always empty. `kubectl cluster-info` asks for it and fails without.
#pragma once

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/request_info.h"
#include "controller/base/clock.h"
#include "controller/store/object_store.h"

namespace forkplane::apiserver {

bool IsServices(const RequestInfo& info);
HttpResponse HandleServices(const HttpRequest& request, const RequestInfo& info,
                            store::ObjectStore& store, Clock& clock);

}  // namespace forkplane::apiserver
