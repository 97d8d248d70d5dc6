// YAML as kubectl reads it (sigs.k8s.io/yaml): one or many documents, each converted to JSON.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::crd {

struct YamlLimits {
  std::size_t bytes_max = std::size_t{3} * 1024 * 1024;
  std::size_t depth_max = 100;
  // Keys and values of one document, as it is written.
  std::size_t nodes_max = 400'000;
  // An alias is a reference: 380 bytes can stand for 10^8 values, 160 KB for 2 GB. What anchors and
  // aliases copy, in all documents together, is at most nodes_max values and bytes_max bytes.
};

struct YamlDocument {
  int line = 0;  // where it starts, 1-based
  std::shared_ptr<const Json> value;
  // Paths of keys given twice (the last one won): at most 100 in a text, each cut at 512 bytes.
  std::vector<std::string> duplicates;
};

// Typing: quoted scalars are strings; plain ones become null (~, null, empty), booleans (true,
// false and YAML 1.1's yes, no, on, off, because kubectl's own reader takes them so), integers
// (decimal, 0x, 0o, 0b, leading 0), floats, else strings. Documents that are empty are left out.
// Merge keys (<<) are resolved. Errors are Invalid and say "line N: ..." in at most 300 bytes;
// Exhausted when no memory is left.
Result<std::vector<YamlDocument>> ParseYaml(std::string_view text, const YamlLimits& limits = {});

// The same, for a text that must hold exactly one document.
Result<Json> ParseOneYaml(std::string_view text, const YamlLimits& limits = {});

// One document in block style, keys sorted, with a line end; ParseOneYaml and kubectl read the same
// value from it. `value` is at most as deep as ParseJson reads.
std::string DumpYaml(const Json& value);

}  // namespace forkplane::crd
