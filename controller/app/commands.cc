#include "controller/app/commands.h"

#include <fmt/format.h>

#include <cstdio>

namespace forkplane::app {

Status PrintVersion() {
  fmt::print("forkplane {}\n", FORKPLANE_VERSION);
  return OkStatus();
}

Status PrintConfig(const Options& options) {
  fmt::print("{}", ToYaml(options));
  return OkStatus();
}

}  // namespace forkplane::app
