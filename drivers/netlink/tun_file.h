// The ioctls of /dev/net/tun, and finding tun files of other processes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"
#include "drivers/tap_driver.h"

namespace forkplane::netlink {

// A new tun file, attached to nothing, in the network namespace of the calling thread.
Result<UniqueFd> OpenTun();
// Makes the TAP of `spec` behind this file. Exists: index or name is taken.
Status AttachTap(int fd, const drivers::TapSpec& spec);
// The name of the device behind a tun file, empty when it is detached.
Result<std::string> AttachedTo(int fd);

// A duplicate of the one tun file of a process that is attached to `name` or, with an empty name,
// of its one detached tun file. NotFound, Conflict as Reattach says.
Result<UniqueFd> FindTunFile(pid_t pid, const std::string& name);

}  // namespace forkplane::netlink
