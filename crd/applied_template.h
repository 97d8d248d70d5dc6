// What a child was last given by the template of its owner, kept as an annotation on the child
// (well_known.h): so that an edit of the template is noticed, that what it no longer names is taken
// away again, and that what others wrote into the child stays. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crd/object_meta.h"

namespace forkplane::crd {

struct AppliedTemplate {
  std::string hash;                      // of the template
  std::vector<std::string> labels;       // keys it named
  std::vector<std::string> annotations;  // likewise
  // Of a Fork's VirtualMachine: what only its creation can be given.
  std::string target_state;
  bool operator==(const AppliedTemplate&) const = default;
};

// Absent: never written, or not readable, as if it never was.
std::optional<AppliedTemplate> AppliedTo(const ObjectMeta& child);

// Equal texts have equal hashes; a label value.
std::string TemplateHash(std::string_view text);

// Brings labels and annotations of the child to the template: what it named before and does not any
// more goes, what it never named stays. Keys of ours (forkplane.dev/) are not its to set.
// `applied`: the rest of the record to be kept on the child.
void ApplyTemplate(const TemplateMeta& wanted, AppliedTemplate applied, ObjectMeta& child);

}  // namespace forkplane::crd
