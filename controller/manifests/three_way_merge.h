// What `kubectl apply` does with a custom resource: fields we set before and set no more go, fields
// we set are as we say, fields others set stay.
#pragma once

#include <string>
#include <vector>

#include "crd/json.h"

namespace forkplane::manifests {

// Objects merge by key, everything else (lists too) is one value. A null in `desired` removes, as
// in RFC 7386. `last_applied` is null when we have not applied this object before.
crd::Json MergeThreeWays(const crd::Json& current, const crd::Json& last_applied,
                         const crd::Json& desired);

// Each field that differs, as a person reads it: "spec.replicas: 3 -> 2", "spec.disks changed",
// "metadata.labels.a: none -> b". At most `most` of them, and then "and more".
std::vector<std::string> Differences(const crd::Json& before, const crd::Json& after,
                                     std::size_t most);

}  // namespace forkplane::manifests
