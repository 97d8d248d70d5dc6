// The network namespace of every child: nothing in it but a loopback that is down, so a VMM reaches
// no listener, no abstract socket and no link of the host. Internal to the process driver.
//
// One for all children and not one each: making or ending a namespace costs a millisecond and, in
// the kernel, locks that all of them share, on the road of every fork. What children share by it is
// the empty namespace's abstract sockets: two VMMs that are both compromised may talk to each
// other there. Descriptors passed to a child keep the namespace they were opened in: a TAP's file
// reaches its device on the host, a listening socket was bound before.
#pragma once

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::process {

// A descriptor for setns; the namespace lives while it is open or a process is inside. The caller's
// own namespace is left as it is. Needs CAP_SYS_ADMIN, and a kernel that has IPC and UTS
// namespaces, too: children get one of each of their own.
Result<UniqueFd> MakeEmptyNetwork();

}  // namespace forkplane::process
