// How a test's uploads reach their class on this kernel, as the daemon would choose.
#pragma once

#include "drivers/identity_driver.h"

namespace forkplane::testing {

// kBpf where a packet that is redirected to an IFB comes back rightly (on
// Debian's 6.1 it passes clsact again), else kMirred. Asked once.
drivers::RedirectMode WorkingRedirect();

}  // namespace forkplane::testing
