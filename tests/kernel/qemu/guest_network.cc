#include "tests/kernel/qemu/guest_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace forkplane::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

ifreq RequestFor(const std::string& name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  return request;
}

sockaddr_in AddressOf(const char* text, std::uint16_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

bool SetAddress(int socket, const std::string& tap, unsigned long operation, const char* text) {
  ifreq request = RequestFor(tap);
  const sockaddr_in address = AddressOf(text);
  std::memcpy(&request.ifr_addr, &address, sizeof address);
  return ::ioctl(socket, operation, &request) == 0;
}

// One attempt of at most 200 ms to connect, then up to a second for the answer.
Result<std::string> TryGet(const std::string& tap, const std::string& path) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, tap.c_str(),
                   static_cast<socklen_t>(tap.size())) != 0) {
    return FromErrno(errno, "bind to " + tap);
  }
  timeval patience{0, 200'000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const sockaddr_in address = AddressOf(kGuestAddress, 80);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FromErrno(errno, "connect through " + tap);
  }
  patience = {1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return FromErrno(errno, "send");
  }
  std::string answer;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (n < 0) return FromErrno(errno, "receive");
    if (n == 0) break;
    answer.append(buffer.data(), static_cast<std::size_t>(n));
  }
  const std::size_t body = answer.find("\r\n\r\n");
  if (body == std::string::npos) return Internal("no HTTP answer: " + answer);
  return answer.substr(body + 4);
}

}  // namespace

Status EnterNetworkNamespace() {
  if (::unshare(CLONE_NEWNET) != 0) return FromErrno(errno, "unshare the network");
  return OkStatus();
}

Result<UniqueFd> MakeTap(const std::string& name) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return FromErrno(errno, "open /dev/net/tun");
  ifreq request = RequestFor(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return FromErrno(errno, "make TAP " + name);
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  request = RequestFor(name);
  request.ifr_flags = IFF_UP;
  if (!SetAddress(socket.get(), name, SIOCSIFADDR, "10.77.0.1") ||
      !SetAddress(socket.get(), name, SIOCSIFNETMASK, "255.255.255.0") ||
      ::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
    return FromErrno(errno, "set up TAP " + name);
  }
  return fd;
}

Result<std::string> HttpGet(const std::string& tap, const std::string& path,
                            steady_clock::time_point deadline) {
  while (true) {
    auto answer = TryGet(tap, path);
    if (answer.ok() || steady_clock::now() >= deadline) return answer;
    ::poll(nullptr, 0, 2);
  }
}

}  // namespace forkplane::testing
