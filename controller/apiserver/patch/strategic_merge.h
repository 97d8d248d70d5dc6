// Strategic merge patch: Kubernetes' merge for built-in kinds. Objects merge and null deletes, as
// in a merge patch; lists that have a merge key are merged element by element, sets of strings are
// united; all other lists are replaced.
//
// Directives (k8s.io/apimachinery pkg/util/strategicpatch, v0.32.4):
//   "$patch": "replace"|"delete"          in an object: replace or empty it; in an element of a
//                                         merged list: replace the list, delete the element
//   "$retainKeys": [keys]                 the object keeps only these
//   "$deleteFromPrimitiveList/f": [..]    takes values from the list f
//   "$setElementOrder/f": [..]            the order of what the client knows of the list f
// Elements that the client does not name keep their place relative to those around them.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::apiserver {

// Path of a list ("status.conditions") -> the member by which its elements are known ("type"); ""
// for a set of scalars. Lists that are not named here are replaced.
using MergeKeys = std::map<std::string, std::string, std::less<>>;

// What every object has: metadata.finalizers and metadata.ownerReferences; `more` is added.
MergeKeys WithMetadataKeys(MergeKeys more);

// Invalid: a directive without the form that it needs, whatever the object is.
Status CheckDirectives(const crd::Json& patch);

// Invalid: an element without its merge key, an order that the elements do not keep. `patch` went
// through CheckDirectives.
Status StrategicMerge(const MergeKeys& keys, const crd::Json& patch, crd::Json& object);

}  // namespace forkplane::apiserver
