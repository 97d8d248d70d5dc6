#include "controller/manifests/three_way_merge.h"

#include <nlohmann/json.hpp>

namespace forkplane::manifests {
namespace {

using crd::Json;

// Takes away what was applied and is not wanted any more. Recursion is bounded by the depth that
// parsing allows.
void RemoveForgotten(Json& current, const Json& last_applied, const Json& desired) {
  for (const auto& [key, last] : last_applied.items()) {
    const auto now = current.find(key);
    if (now == current.end()) continue;
    const auto wanted = desired.find(key);
    if (wanted == desired.end()) {
      current.erase(now);
    } else if (now->is_object() && last.is_object() && wanted->is_object()) {
      RemoveForgotten(*now, last, *wanted);
    }
  }
}

}  // namespace

Json MergeThreeWays(const Json& current, const Json& last_applied, const Json& desired) {
  Json merged = current;
  if (merged.is_object() && last_applied.is_object() && desired.is_object()) {
    RemoveForgotten(merged, last_applied, desired);
  }
  crd::MergePatch(merged, desired);
  return merged;
}

}  // namespace forkplane::manifests
