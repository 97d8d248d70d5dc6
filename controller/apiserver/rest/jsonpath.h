// The JSONPath subset that printer columns and selectable fields use: .a.b, ['a'], [0], [-1], [*],
// .* and the filter [?(@.type=="Ready")]. Parsed once per column, evaluated per row.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::apiserver {

class JsonPath {
 public:
  // Invalid for anything outside the subset. The leading dot may be absent.
  static Result<JsonPath> Parse(std::string_view text);

  // Every value the path leads to; a missing field leads nowhere. The pointers live as long as
  // `root`.
  std::vector<const crd::Json*> Find(const crd::Json& root) const;

 private:
  struct Step {
    enum class Kind : std::uint8_t { kField, kIndex, kAll, kFilter } kind = Kind::kField;
    std::string field = {};  // kField
    int index = 0;           // kIndex; negative counts from the end
    // kFilter: keep the elements whose value at `filter_path` equals (or, negated, differs from)
    // `literal`. Compared as text, as kubectl does for strings.
    std::vector<std::string> filter_path = {};
    std::string literal = {};
    bool negated = false;
  };
  class Parser;
  static void Apply(const Step& step, const crd::Json& value, std::vector<const crd::Json*>& out);

  std::vector<Step> steps_;
};

}  // namespace forkplane::apiserver
