// IPv4 addresses, routes and permanent neighbours of our links; and what others route, to find
// conflicts and the uplink. Contract, threading and namespace as in link_driver.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

// A unicast route of the main table. `index`: of several next hops the first one's; 0: none.
struct Route {
  Ipv4Prefix destination;
  std::uint32_t index = 0;
  std::string device;  // name of `index`, "" when 0
  std::optional<Ipv4> gateway;
  std::uint32_t metric = 0;
  bool operator==(const Route&) const = default;
};

// Only NUD_PERMANENT ones; those learned by ARP are the kernel's business.
struct Neighbour {
  Ipv4 address;
  MacAddress mac;
  auto operator<=>(const Neighbour&) const = default;
};

// The link of the default route with the smallest metric; of several next hops the first one's, so
// what it can carry is less than there is.
struct Uplink {
  std::uint32_t index = 0;
  std::string name;
  std::optional<std::uint64_t> speed_bits_per_second = {};  // as the link says; virtual ones do not
  bool operator==(const Uplink&) const = default;
};

// The protocol (RTA_PROTOCOL) of our blackholes and our rule: by it they are told from others'.
inline constexpr std::uint8_t kRouteProtocol = 70;

// What leads to the addresses of a Network that nobody leases.
struct CidrRoutes {
  bool blackhole = false;  // ours
  bool connected =
      false;  // the kernel's, through the link: makes a neighbour entry of each address
  bool operator==(const CidrRoutes&) const = default;
};

// No link has the index 0.
inline constexpr std::uint32_t kEveryLink = 0;

class RouteDriver {
 public:
  virtual ~RouteDriver() = default;

  // Addresses of one link, or of kEveryLink. An absent link has none.
  virtual Result<std::vector<Ipv4Prefix>> ListAddresses(std::uint32_t index) = 0;
  // Without the route of the whole net that the kernel would bring along (IFA_F_NOPREFIXROUTE).
  virtual Status AddAddress(std::uint32_t index, const Ipv4Prefix& address) = 0;
  virtual Status DeleteAddress(std::uint32_t index, const Ipv4Prefix& address) = 0;

  // `cidr` is a network. The blackhole is of no link and outlives all. Exists: there is a route of
  // that very net.
  virtual Result<CidrRoutes> ObserveCidr(std::uint32_t index, const Ipv4Prefix& cidr) = 0;
  virtual Status AddBlackhole(const Ipv4Prefix& cidr) = 0;
  virtual Status DeleteBlackhole(const Ipv4Prefix& cidr) = 0;
  virtual Status DeleteConnectedRoute(std::uint32_t index, const Ipv4Prefix& cidr) = 0;

  // The rule of policy routing that throws away whatever has kUnjudgedMark. Of it alone is said
  // whether it is there, not of others that may come before. Exists: it is there.
  virtual Result<bool> HasUnjudgedRule() = 0;
  virtual Status AddUnjudgedRule() = 0;
  virtual Status DeleteUnjudgedRule() = 0;

  // Every unicast route of the main table, for the conflict check of a cidr.
  virtual Result<std::vector<Route>> ListRoutes() = 0;
  // The /32 routes through one of our links, ordered.
  virtual Result<std::vector<Ipv4>> ListHostRoutes(std::uint32_t index) = 0;
  // Whether one of them is there. A cost that does not grow with the number of routes.
  virtual Result<bool> HasHostRoute(std::uint32_t index, Ipv4 address) = 0;
  // Scope link, protocol static. Conflict: the link is down.
  virtual Status AddHostRoute(std::uint32_t index, Ipv4 address) = 0;
  virtual Status DeleteHostRoute(std::uint32_t index, Ipv4 address) = 0;

  // Ordered by address.
  virtual Result<std::vector<Neighbour>> ListNeighbours(std::uint32_t index) = 0;
  // The one of this address. A cost that does not grow with their number.
  virtual Lookup<MacAddress> ObserveNeighbour(std::uint32_t index, Ipv4 address) = 0;
  // Creates or replaces (one learned by ARP may already stand there).
  virtual Status SetNeighbour(std::uint32_t index, const Neighbour& neighbour) = 0;
  virtual Status DeleteNeighbour(std::uint32_t index, Ipv4 address) = 0;

  virtual Lookup<Uplink> DefaultUplink() = 0;
  // By name, for Network.spec.uplink.interface; absent when there is no such link.
  virtual Lookup<Uplink> UplinkByName(const std::string& name) = 0;
};

}  // namespace forkplane::drivers
