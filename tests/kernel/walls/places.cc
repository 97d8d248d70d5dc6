#include "tests/kernel/walls/places.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "controller/base/check.h"
#include "tests/kernel/healing/commands.h"

namespace forkplane::walls {
namespace {

constexpr std::chrono::milliseconds kPatience{3000};  // for what is expected
constexpr std::chrono::milliseconds kQuiet{250};      // for what is not
constexpr std::size_t kIpHeader = 20;

sockaddr_in AddressOf(const std::string& address, std::uint16_t port) {
  sockaddr_in result = {};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  CHECK(inet_pton(AF_INET, address.c_str(), &result.sin_addr) == 1);
  return result;
}

const sockaddr* Raw(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

int TypeOf(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0);
  return type;
}

UniqueFd Begin(Attempt& attempt) {
  static std::uint16_t next_id = 0;
  attempt.id = ++next_id;
  const sockaddr_in to = AddressOf(attempt.to, attempt.protocol == Protocol::kIcmp ? 0 : kPort);
  if (attempt.protocol == Protocol::kIcmp) {
    UniqueFd fd = attempt.from->Open(SOCK_RAW, IPPROTO_ICMP);
    icmphdr echo = {};
    echo.type = ICMP_ECHO;
    echo.un.echo.id = htons(attempt.id);
    echo.checksum =
        static_cast<std::uint16_t>(~(static_cast<std::uint32_t>(ICMP_ECHO) + echo.un.echo.id));
    // Connected: it gets packets of that host only. Nothing to send with is an answer too.
    if (connect(fd.get(), Raw(to), sizeof to) == 0) send(fd.get(), &echo, sizeof echo, 0);
    return fd;
  }
  const bool tcp = attempt.protocol == Protocol::kTcp;
  UniqueFd fd = attempt.from->Open(tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  const int connected = connect(fd.get(), Raw(to), sizeof to);
  if (!tcp && connected == 0) send(fd.get(), "x", 1, 0);
  return fd;
}

// Whether an answer has come; what the socket was told besides is read away.
bool Answered(const Attempt& attempt, const UniqueFd& fd) {
  if (attempt.protocol == Protocol::kTcp) {
    pollfd file = {fd.get(), POLLOUT, 0};
    return poll(&file, 1, 0) == 1 && (file.revents & (POLLERR | POLLHUP)) == 0 &&
           (file.revents & POLLOUT) != 0;
  }
  std::array<char, 256> data = {};
  while (true) {
    const ssize_t size = recv(fd.get(), data.data(), data.size(), 0);
    if (size < 0 && (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == EACCES)) continue;
    if (size <= 0) return false;
    if (attempt.protocol == Protocol::kUdp) return true;
    icmphdr reply = {};
    if (static_cast<std::size_t>(size) < kIpHeader + sizeof reply) continue;
    std::memcpy(&reply, data.data() + kIpHeader, sizeof reply);
    const bool mine = ntohs(reply.un.echo.id) == attempt.id;
    if (reply.type == ICMP_ECHOREPLY && mine) return true;
  }
}

// Accepts and answers everything that has come; gives its sources.
void Serve(const Place& place, std::vector<Ipv4>& sources) {
  for (const UniqueFd& server : place.servers()) {
    const bool tcp = TypeOf(server.get()) == SOCK_STREAM;
    while (true) {
      sockaddr_in from = {};
      socklen_t size = sizeof from;
      auto* address = reinterpret_cast<sockaddr*>(&from);
      char byte = 0;
      if (tcp) {
        const UniqueFd taken(accept4(server.get(), address, &size, SOCK_CLOEXEC));
        if (!taken.valid()) break;
      } else {
        if (recvfrom(server.get(), &byte, 1, 0, address, &size) < 0) break;
        sendto(server.get(), &byte, 1, 0, address, size);
      }
      sources.push_back({ntohl(from.sin_addr.s_addr)});
    }
  }
}

}  // namespace

Place::Place(std::string name, const std::string& link, std::vector<std::string> addresses)
    : name_(std::move(name)), addresses_(std::move(addresses)) {
  if (link.empty()) {
    namespace_ = UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    return;
  }
  std::jthread([this] {
    CHECK(unshare(CLONE_NEWNET) == 0);
    namespace_ = UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  CHECK(healing::RunAll({fmt::format("ip link add {} type veth peer name e0 netns /proc/{}/fd/{}",
                                     link, getpid(), namespace_.get()),
                         fmt::format("ip link set {} up", link)})
            .ok());
  Ip("link set lo up");
  Ip("link set e0 up");
  for (const std::string& address : addresses_) Ip(fmt::format("addr add {}/32 dev e0", address));
}

void Place::Inside(const std::function<void()>& body) const {
  std::jthread([&] {
    CHECK(setns(namespace_.get(), CLONE_NEWNET) == 0);
    body();
  }).join();
}

UniqueFd Place::Open(int type, int protocol) const {
  UniqueFd fd;
  Inside([&] { fd = UniqueFd(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol)); });
  CHECK(fd.valid());
  return fd;
}

void Place::Ip(const std::string& arguments) const {
  Inside([&] { CHECK(healing::RunAll({"ip " + arguments}).ok()); });
}

void Place::Serve() {
  for (const std::string& address : addresses_) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      UniqueFd fd = Open(type, 0);
      const sockaddr_in at = AddressOf(address, kPort);
      CHECK(bind(fd.get(), Raw(at), sizeof at) == 0);
      CHECK(type != SOCK_STREAM || listen(fd.get(), SOMAXCONN) == 0);
      servers_.push_back(std::move(fd));
    }
  }
}

void Try(std::vector<Attempt>& attempts, const std::vector<const Place*>& places,
         const std::vector<const Place*>& watched, std::vector<Ipv4>& sources) {
  std::vector<UniqueFd> sockets;
  sockets.reserve(attempts.size());
  for (Attempt& attempt : attempts) sockets.push_back(Begin(attempt));
  const auto began = std::chrono::steady_clock::now();
  while (true) {
    for (const Place* place : places) {
      std::vector<Ipv4> seen;
      walls::Serve(*place, seen);
      const bool told = std::find(watched.begin(), watched.end(), place) != watched.end();
      if (told) sources.insert(sources.end(), seen.begin(), seen.end());
    }
    bool missing = false;
    for (std::size_t i = 0; i < attempts.size(); ++i) {
      Attempt& attempt = attempts[i];
      attempt.passed = attempt.passed || Answered(attempt, sockets[i]);
      missing = missing || (attempt.expected && !attempt.passed);
    }
    const auto now = std::chrono::steady_clock::now() - began;
    if (now > kPatience || (!missing && now > kQuiet)) return;
    poll(nullptr, 0, 5);
  }
}

}  // namespace forkplane::walls
