// What a process can reach, told on stdout: started by the test itself and by the process driver.
// probe ABSTRACT_NAME LOOPBACK_PORT SYSV_KEY
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "controller/base/unique_fd.h"

namespace {

using forkplane::UniqueFd;

void Tell(const char* what, bool reached) {
  std::printf("%s: %s\n", what, reached ? "reached" : std::strerror(errno));
}

void TellLinks() {
  struct if_nameindex* const links = ::if_nameindex();
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (const struct if_nameindex* link = links; link != nullptr && link->if_name != nullptr;
       ++link) {
    ifreq request{};
    std::strncpy(request.ifr_name, link->if_name, IFNAMSIZ - 1);
    const bool up =
        ::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
    std::printf("link %s: %s\n", link->if_name, up ? "up" : "down");
  }
  ::if_freenameindex(links);
}

void TryAbstract(const std::string& name) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  Tell("abstract socket",
       ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
}

void TryLoopback(std::uint16_t port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = ::htons(port);
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  Tell("loopback",
       ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  TellLinks();
  TryAbstract(argv[1]);
  TryLoopback(static_cast<std::uint16_t>(std::atoi(argv[2])));
  Tell("shared memory", ::shmget(std::atoi(argv[3]), 0, 0) >= 0);
  utsname name{};
  ::uname(&name);
  std::printf("host name: %s\n", name.nodename);
}
