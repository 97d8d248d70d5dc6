// JSON patch (RFC 6902): add, remove, replace, move, copy, test, in their order, all or none.
//
// NOTE Bounds: a small patch can ask for much (copy doubles, an insertion at the front of a long
// list moves all of it), so operations, copied bytes, depth and work are bounded; what goes beyond
// is refused, and the object is left to its caller.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::apiserver {

// Upstream's bounds (apiserver pkg/endpoints/handlers/patch.go: maxJSONPatchOperations; the copied
// bytes are those of the request limit).
inline constexpr std::size_t kPatchOperationsMax = 10'000;
inline constexpr std::size_t kPatchCopiedBytesMax = std::size_t{3} * 1024 * 1024;
// As deep as crd::ParseJson reads.
inline constexpr std::size_t kPatchDepthMax = 100;
// Values looked at and elements moved by all operations together: well below a second.
inline constexpr std::size_t kPatchWorkMax = 10'000'000;

class JsonPatch {
 public:
  // Nothing to do.
  JsonPatch() = default;
  // Invalid: not a list of operations with what each of them needs. Exhausted: too many.
  static Result<JsonPatch> Parse(const crd::Json& document);

  // Invalid: an operation does not fit (its path leads nowhere, a test fails, a bound is reached);
  // the message names it. The object is then as far as the operations before it came.
  Status Apply(crd::Json& object) const;

 private:
  struct Operation;
  std::shared_ptr<const std::vector<Operation>> operations_;
};

}  // namespace forkplane::apiserver
