#include "tests/kernel/forwarding/outside.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "controller/base/check.h"
#include "tests/kernel/healing/commands.h"

namespace forkplane::forwarding {
namespace {

void Must(const std::vector<std::string>& lines) {
  const Status status = healing::RunAll(lines);
  CHECK(status.ok());
}

sockaddr_in AddressOf(Ipv4 address, std::uint16_t port) {
  sockaddr_in result = {};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  result.sin_addr.s_addr = htonl(address.value);
  return result;
}

}  // namespace

Outside::Outside() {
  std::jthread([this] {
    CHECK(unshare(CLONE_NEWNET) == 0);
    namespace_ = UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  const std::string there = fmt::format("/proc/{}/fd/{}", getpid(), namespace_.get());
  Must({fmt::format("ip link add {} type veth peer name ext0 netns {}", kUplink, there),
        fmt::format("ip addr add {}/24 dev {}", ToString(kHostOutside), kUplink),
        fmt::format("ip link set {} up", kUplink)});
  Run([] { Must({"ip link set ext0 up", "ip addr add 198.51.100.2/24 dev ext0"}); });
  Must({"ip route add default via 198.51.100.2"});
}

void Outside::Run(const std::function<void()>& body) const {
  std::jthread([&] {
    CHECK(setns(namespace_.get(), CLONE_NEWNET) == 0);
    body();
  }).join();
}

UniqueFd Outside::Socket(int type, std::uint16_t port) const {
  UniqueFd fd;
  Run([&] {
    fd = UniqueFd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const sockaddr_in address = AddressOf(kOutside, port);
    CHECK(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const timeval timeout = {5, 0};
    CHECK(setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
    CHECK(type != SOCK_STREAM || listen(fd.get(), 8) == 0);
  });
  return fd;
}

Datagram Receive(const UniqueFd& socket) {
  std::array<char, 2048> data = {};
  sockaddr_in from = {};
  socklen_t size = sizeof from;
  if (recvfrom(socket.get(), data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&from),
               &size) < 0) {
    return {};
  }
  return {{ntohl(from.sin_addr.s_addr)}, ntohs(from.sin_port)};
}

void Answer(const UniqueFd& socket, const Datagram& datagram) {
  const sockaddr_in to = AddressOf(datagram.from, datagram.port);
  constexpr std::string_view kText = "answer";
  const ssize_t sent = sendto(socket.get(), kText.data(), kText.size(), 0,
                              reinterpret_cast<const sockaddr*>(&to), sizeof to);
  EXPECT_EQ(sent, static_cast<ssize_t>(kText.size()));
}

}  // namespace forkplane::forwarding
