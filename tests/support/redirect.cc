#include "tests/support/redirect.h"

#include "drivers/bpf/identity.h"

namespace forkplane::testing {

drivers::RedirectMode WorkingRedirect() {
  static const drivers::RedirectMode mode = [] {
    const auto bpf = bpf::ProbeRedirect(drivers::RedirectMode::kBpf);
    return bpf.ok() && *bpf ? drivers::RedirectMode::kBpf : drivers::RedirectMode::kMirred;
  }();
  return mode;
}

}  // namespace forkplane::testing
