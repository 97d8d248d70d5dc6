// What `kubectl apply` does with a custom resource: fields we set before and set no more go, fields
// we set are as we say, fields others set stay.
#pragma once

#include "crd/json.h"

namespace forkplane::manifests {

// Objects merge by key, everything else (lists too) is one value. A null in `desired` removes, as
// in RFC 7386. `last_applied` is null when we have not applied this object before.
crd::Json MergeThreeWays(const crd::Json& current, const crd::Json& last_applied,
                         const crd::Json& desired);

}  // namespace forkplane::manifests
