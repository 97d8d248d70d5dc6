// A network namespace outside of the host under test, joined to it by one cable: what stands behind
// the uplink. Its address is 198.51.100.2, the host's 198.51.100.1.
#pragma once

#include <functional>

#include "controller/base/net_address.h"
#include "controller/base/unique_fd.h"

namespace forkplane::forwarding {

inline constexpr Ipv4 kOutside{0xc6336402};
inline constexpr Ipv4 kHostOutside{0xc6336401};
inline constexpr const char* kUplink = "up0";

class Outside {
 public:
  // In the network namespace of the host. The default route leads here.
  Outside();

  // Runs `body` in the outside namespace.
  void Run(const std::function<void()>& body) const;
  // A socket of it, bound to that port of kOutside; TCP ones listen. Reading from it waits 5 s.
  UniqueFd Socket(int type, std::uint16_t port) const;

 private:
  UniqueFd namespace_;
};

struct Datagram {
  Ipv4 from;  // zero: none came
  std::uint16_t port = 0;
};
Datagram Receive(const UniqueFd& socket);
void Answer(const UniqueFd& socket, const Datagram& datagram);

}  // namespace forkplane::forwarding
