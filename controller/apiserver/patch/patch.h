// One patch, whatever its form: read once, applied as often as the store asks for it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controller/apiserver/patch/json_patch.h"
#include "controller/apiserver/patch/strategic_merge.h"
#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::apiserver {

enum class PatchType : std::uint8_t {
  kJson,       // RFC 6902, application/json-patch+json
  kMerge,      // RFC 7386, application/merge-patch+json
  kStrategic,  // Kubernetes' own, application/strategic-merge-patch+json
};

std::string_view MediaTypeOf(PatchType type);

class Patch {
 public:
  // Paths of keys that came twice are appended to `duplicates`. Invalid: the text is no patch of
  // this form. Exhausted: a JSON patch of too many operations.
  static Result<Patch> Parse(PatchType type, std::string_view text,
                             std::vector<std::string>& duplicates);

  // Changes `object`; pure. Invalid: the patch does not fit the object, which is then neither the
  // old nor the new one. `keys` says which lists a strategic patch merges.
  Status Apply(const MergeKeys& keys, crd::Json& object) const;
  PatchType type() const { return type_; }

 private:
  explicit Patch(PatchType type) : type_(type) {}

  PatchType type_;
  JsonPatch operations_;                       // of kJson
  std::shared_ptr<const crd::Json> document_;  // of the others
};

}  // namespace forkplane::apiserver
