#include "tests/bench/network/relay.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace forkplane::bench {
namespace {

constexpr int kHeaderBytes = 12;
constexpr unsigned long kOffloads = TUN_F_CSUM | TUN_F_TSO4;
constexpr std::size_t kFrameMax =
    std::size_t{68} * 1024;  // header, Ethernet and 64 KiB of one big segment
constexpr int kStopPollMilliseconds = 100;

bool WaitFor(int fd, short events) {
  pollfd file = {fd, events, 0};
  return poll(&file, 1, kStopPollMilliseconds) > 0;
}

// On the calling thread, which stays in the guest's namespace.
Result<UniqueFd> MakeGuestTap(pid_t guest) {
  const std::string path = fmt::format("/proc/{}/ns/net", guest);
  const UniqueFd space(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!space.valid() || setns(space.get(), CLONE_NEWNET) != 0) return FromErrno(errno, path);
  UniqueFd tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!tap.valid()) return FromErrno(errno, "/dev/net/tun");
  ifreq request = {};
  std::strncpy(request.ifr_name, "eth0", IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
  if (ioctl(tap.get(), TUNSETIFF, &request) != 0 ||
      ioctl(tap.get(), TUNSETVNETHDRSZ, &kHeaderBytes) != 0 ||
      ioctl(tap.get(), TUNSETOFFLOAD, kOffloads) != 0) {
    return FromErrno(errno, "make the guest's TAP");
  }
  return tap;
}

}  // namespace

Result<std::unique_ptr<Relay>> Relay::Start(UniqueFd host, pid_t guest) {
  // What a VMM negotiates with its guest.
  if (ioctl(host.get(), TUNSETOFFLOAD, kOffloads) != 0) {
    return FromErrno(errno, "set offloads of the host's TAP");
  }
  Result<UniqueFd> made = UniqueFd();
  std::jthread([&] { made = MakeGuestTap(guest); }).join();
  ASSIGN_OR_RETURN(UniqueFd tap, std::move(made));
  std::unique_ptr<Relay> relay(new Relay(std::move(host), std::move(tap)));
  const int host_fd = relay->host_.get();
  const int guest_fd = relay->guest_.get();
  relay->upload_ = std::jthread([=](const std::stop_token& s) { Carry(s, guest_fd, host_fd); });
  relay->download_ = std::jthread([=](const std::stop_token& s) { Carry(s, host_fd, guest_fd); });
  return relay;
}

Relay::~Relay() {
  upload_ = {};
  download_ = {};
}

void Relay::Carry(const std::stop_token& stop, int from, int to) {
  std::vector<char> frame(kFrameMax);
  while (!stop.stop_requested()) {
    const ssize_t size = read(from, frame.data(), frame.size());
    if (size <= 0) {
      WaitFor(from, POLLIN);
      continue;
    }
    while (write(to, frame.data(), static_cast<std::size_t>(size)) < 0 && errno == EAGAIN &&
           !stop.stop_requested()) {
      WaitFor(to, POLLOUT);
    }
  }
}

}  // namespace forkplane::bench
