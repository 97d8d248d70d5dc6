// Label and field selectors as in `kubectl -l` and `--field-selector`
// (k8s.io/apimachinery/pkg/labels and .../fields).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "controller/store/object.h"

namespace forkplane::store {

// Longest text that is parsed; a longer one is Invalid.
inline constexpr std::size_t kSelectorBytesMax = std::size_t{64} * 1024;

struct LabelRequirement {
  enum class Op : std::uint8_t { kIn, kNotIn, kExists, kNotExists, kGreater, kLess };
  std::string key;
  Op op = Op::kExists;
  std::vector<std::string> values;  // k=v is kIn with one value, k!=v is kNotIn with one
  bool operator==(const LabelRequirement&) const = default;
};

// All requirements must hold; empty matches everything. kNotIn also matches an object without the
// key, as upstream does.
struct LabelSelector {
  std::vector<LabelRequirement> requirements;
  bool empty() const { return requirements.empty(); }
  bool Matches(const Labels& labels) const;
};

// `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a)`, `k`, `!k`, `k>1`, `k<1`, joined by commas.
// Invalid (Status reason BadRequest) names the place.
Result<LabelSelector> ParseLabelSelector(std::string_view text);
// From a LabelSelector's matchLabels: equality on each.
LabelSelector MatchLabels(const Labels& labels);

struct FieldRequirement {
  std::string path;  // "metadata.name", "status.phase", "involvedObject.uid"
  std::string value;
  bool negated = false;
  bool operator==(const FieldRequirement&) const = default;
};

struct FieldSelector {
  std::vector<FieldRequirement> requirements;
  bool empty() const { return requirements.empty(); }
  // A field the object has not is "". Values come from Object::meta and Object::fields; a path in
  // neither (the CRD made it selectable after the object was written) is looked up in the text.
  bool Matches(const Object& object) const;
};

// `path=value`, `path==value`, `path!=value`, joined by commas; backslash escapes `,`, `=` and
// itself. Which paths a resource allows is decided by List and Watch.
Result<FieldSelector> ParseFieldSelector(std::string_view text);

}  // namespace forkplane::store
