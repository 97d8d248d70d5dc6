#include "controller/base/check.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace forkplane {

void CheckFailed(std::string_view expression, std::string_view detail, const char* file, int line) {
  fmt::print(stderr, "{}:{}: check failed: {} {}\n", file, line, expression, detail);
  std::abort();
}

}  // namespace forkplane
