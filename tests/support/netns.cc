#include "tests/support/netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "controller/base/check.h"
#include "controller/base/unique_fd.h"

namespace forkplane::testing {
namespace {

void BringLoopbackUp() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  CHECK(ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0);
}

}  // namespace

std::string WhyNoNetworkNamespace() {
  std::string reason;
  std::jthread([&reason] {
    if (unshare(CLONE_NEWNET) != 0) {
      reason = std::string("cannot make a network namespace (needs root): ") + strerror(errno);
    }
  }).join();
  const UniqueFd tun(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (reason.empty() && !tun.valid()) {
    reason = std::string("cannot open /dev/net/tun: ") + strerror(errno);
  }
  return reason;
}

void RunInNetworkNamespace(const std::function<void()>& body) {
  std::jthread([&body] {
    CHECK(unshare(CLONE_NEWNET) == 0);
    BringLoopbackUp();
    body();
  }).join();
}

}  // namespace forkplane::testing
