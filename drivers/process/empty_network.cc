#include "drivers/process/empty_network.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace forkplane::process {

Result<UniqueFd> MakeEmptyNetwork() {
  // A thread that ends with it, because a namespace is a thread's.
  Result<UniqueFd> made = UniqueFd();
  std::jthread([&made] {
    // The others only to learn now, and not at the first spawn, that a kernel lacks them.
    if (::unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
      made = FromErrno(errno, "make network, IPC and UTS namespaces for VMMs (CAP_SYS_ADMIN)");
      return;
    }
    UniqueFd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (fd.valid()) {
      made = std::move(fd);
    } else {
      made = FromErrno(errno, "open /proc/thread-self/ns/net");
    }
  }).join();
  return made;
}

}  // namespace forkplane::process
