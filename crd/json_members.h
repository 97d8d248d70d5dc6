// Reading documents whose types nobody has checked: what is absent, or of another type, reads as
// the empty value. `object` may itself be anything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "crd/json.h"

namespace forkplane::crd {

// The member `key`; a null that lives for ever when there is none.
const Json& MemberOf(const Json& object, std::string_view key);
std::string TextOf(const Json& object, std::string_view key);
// The strings of a list; what else it holds is passed over.
std::vector<std::string> TextsOf(const Json& object, std::string_view key);
bool FlagOf(const Json& object, std::string_view key, bool otherwise = false);
std::int64_t IntegerOf(const Json& object, std::string_view key);

// The same below a path of plain keys, as FindPath has it ("metadata.name").
std::string TextAt(const Json& object, std::string_view path);
std::int64_t IntegerAt(const Json& object, std::string_view path);

}  // namespace forkplane::crd
