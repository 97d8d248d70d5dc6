// JSON pointers (RFC 6901): "/spec/disks/0".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::apiserver {

// The keys and indices on the way, unescaped; empty: the whole document.
using JsonPointer = std::vector<std::string>;

// Invalid: it does not begin with a slash, or has a '~' that is neither ~0 nor ~1.
Result<JsonPointer> ParsePointer(std::string_view text);
std::string ToString(const JsonPointer& pointer);

// The value there; null: it leads nowhere. An index has no sign and no leading zero.
const crd::Json* FindPointer(const crd::Json& document, const JsonPointer& pointer);
crd::Json* FindPointer(crd::Json& document, const JsonPointer& pointer);

// The index that `token` means in an array of `size`; nothing: none of its elements.
std::optional<std::size_t> ParseIndex(std::string_view token, std::size_t size);

}  // namespace forkplane::apiserver
