// Assertions for our own bugs. Always on; never for input.
#pragma once

#include <string_view>

namespace forkplane {

// Prints both texts and the place to stderr and aborts.
[[noreturn]] void CheckFailed(std::string_view expression, std::string_view detail,
                              const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace forkplane

#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::forkplane::CheckFailed(#condition, {}))
