// JSON at the edge of the process: bounded, strict, and without exceptions. nlohmann's full header
// stays in .cc files (it costs seconds per translation unit); this one forward-declares it.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::crd {

using Json = nlohmann::json;

// Copying and printing nlohmann values recurse: depth 100 000 (a 200 KB body) overruns the stack.
// So depth is bounded here, once, and every later walk may recurse.
//
// The defaults are what may be read. They are wider than what may be written (the HTTP reader's 3
// MiB, the store's kObjectBytesMax and kObjectDepthMax), so that what was once accepted can be read
// again with what the server adds to it.
struct JsonLimits {
  std::size_t depth_max = 128;
  std::size_t bytes_max = std::size_t{4} * 1024 * 1024;
};

// One JSON document and nothing after it. Refused with Invalid: syntax errors, text that is not
// UTF-8, numbers beyond a double, depth and size over the limits. A key given twice is not an
// error (the last one wins, as in Kubernetes); its path ("spec.replicas", "spec.disks[0].name") is
// appended to `duplicates` when that is given, at most 100 of them, each cut at 512 bytes.
// Exhausted: no memory is left.
Result<Json> ParseJson(std::string_view text, const JsonLimits& limits = {},
                       std::vector<std::string>* duplicates = nullptr);

// What a reader of texts answers instead of dying of std::bad_alloc.
Error NoMemoryLeft();

// Compact, keys sorted (nlohmann objects are std::map), so equal values give equal bytes. Strings
// that are not UTF-8 get U+FFFD instead of an exception.
std::string DumpJson(const Json& value);
std::string DumpPrettyJson(const Json& value);  // two spaces, for people

// RFC 7386: null in `patch` deletes, objects merge, all else replaces.
void MergePatch(Json& target, const Json& patch);

// Levels of arrays and objects: 0 for a scalar, 1 for {}.
std::size_t DepthOf(const Json& value);

// The value below `path` of plain keys ("spec.hostName", also ".spec.hostName"), or nullptr.
const Json* FindPath(const Json& value, std::string_view path);

}  // namespace forkplane::crd
