// RouteDriver over rtnetlink (link speed: the ethtool ioctl).
#pragma once

#include <linux/rtnetlink.h>

#include <memory>
#include <string>
#include <vector>

#include "controller/base/unique_fd.h"
#include "drivers/netlink/quiet_socket.h"
#include "drivers/netlink/socket.h"
#include "drivers/route_driver.h"

namespace forkplane::netlink {

class NetlinkRouteDriver final : public drivers::RouteDriver {
 public:
  static Result<std::unique_ptr<NetlinkRouteDriver>> Open(OwnChanges own = OwnChanges::kTold);

  Result<std::vector<Ipv4Prefix>> ListAddresses(std::uint32_t index) override;
  Status AddAddress(std::uint32_t index, const Ipv4Prefix& address) override;
  Status DeleteAddress(std::uint32_t index, const Ipv4Prefix& address) override;
  Result<drivers::CidrRoutes> ObserveCidr(std::uint32_t index, const Ipv4Prefix& cidr) override;
  Status AddBlackhole(const Ipv4Prefix& cidr) override;
  Status DeleteBlackhole(const Ipv4Prefix& cidr) override;
  Status DeleteConnectedRoute(std::uint32_t index, const Ipv4Prefix& cidr) override;
  Result<bool> HasUnjudgedRule() override;
  Status AddUnjudgedRule() override;
  Status DeleteUnjudgedRule() override;
  Result<std::vector<drivers::Route>> ListRoutes() override;
  Result<std::vector<Ipv4>> ListHostRoutes(std::uint32_t index) override;
  Result<bool> HasHostRoute(std::uint32_t index, Ipv4 address) override;
  Status AddHostRoute(std::uint32_t index, Ipv4 address) override;
  Status DeleteHostRoute(std::uint32_t index, Ipv4 address) override;
  Result<std::vector<drivers::Neighbour>> ListNeighbours(std::uint32_t index) override;
  Lookup<MacAddress> ObserveNeighbour(std::uint32_t index, Ipv4 address) override;
  Status SetNeighbour(std::uint32_t index, const drivers::Neighbour& neighbour) override;
  Status DeleteNeighbour(std::uint32_t index, Ipv4 address) override;
  Lookup<drivers::Uplink> DefaultUplink() override;
  Lookup<drivers::Uplink> UplinkByName(const std::string& name) override;

 private:
  NetlinkRouteDriver(Socket changes, Socket looks, std::unique_ptr<QuietSocket> quiet,
                     UniqueFd ethtool)
      : socket_(std::move(changes), std::move(looks)),
        quiet_(std::move(quiet)),
        ethtool_(std::move(ethtool)) {}
  // For changes of what an interface of a VM has: host route and neighbour.
  SharedSocket& SocketOfInterface() { return quiet_ ? quiet_->socket() : socket_; }
  // All unicast routes of the main table, of one link or (0) of all; device names are not filled.
  Result<std::vector<drivers::Route>> DumpRoutes(std::uint32_t index, bool host_routes_only);
  // Whether the main table has a route that looks like `like`, which also tells the kernel what to
  // list.
  Result<bool> HasRoute(const rtmsg& like, const Ipv4Prefix& destination, std::uint32_t index);

  SharedSocket socket_;
  std::unique_ptr<QuietSocket> quiet_;  // null: told
  UniqueFd ethtool_;                    // any socket of the namespace
};

}  // namespace forkplane::netlink
