#include "drivers/netlink/route.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "controller/base/network_names.h"
#include "drivers/netlink/link.h"

namespace forkplane::netlink {
namespace {

using drivers::Neighbour;
using drivers::Route;
using drivers::Uplink;

std::uint32_t Wire(Ipv4 address) { return htonl(address.value); }
Ipv4 FromWire(std::uint32_t value) { return {ntohl(value)}; }

// Only links of ours are changed through this driver.
template <typename Subject>
Result<std::string> What(std::string_view verb, const Subject& subject, std::uint32_t index) {
  std::string what = fmt::format("{} {} on {:#x}", verb, ToString(subject), index);
  if (!IsOwnedIndex(index)) return Invalid(what + ": not an index of ours");
  return what;
}

// A dump filtered by a link that is gone says so; for us it just has nothing.
Status NothingIfGone(Status status) {
  return !status.ok() && status.error().code == Code::kNotFound ? OkStatus() : std::move(status);
}

Message AddressMessage(std::uint16_t type, int flags, std::uint32_t index,
                       const Ipv4Prefix& address) {
  ifaddrmsg header = {};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = address.length;
  header.ifa_index = index;
  Message message(type, flags);
  message.Header(header).U32(IFA_LOCAL, Wire(address.address));
  message.U32(IFA_ADDRESS, Wire(address.address));
  return message;
}

Message RouteMessage(std::uint16_t type, int flags, std::uint32_t index, Ipv4 address) {
  rtmsg header = {};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = 32;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = RT_SCOPE_LINK;
  header.rtm_type = RTN_UNICAST;
  Message message(type, flags);
  message.Header(header).U32(RTA_DST, Wire(address)).U32(RTA_OIF, index);
  return message;
}

rtmsg RouteOfNet(std::uint8_t type, std::uint8_t protocol, std::uint8_t scope) {
  rtmsg header = {};
  header.rtm_family = AF_INET;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_type = type;
  header.rtm_protocol = protocol;
  header.rtm_scope = scope;
  return header;
}

const rtmsg kBlackhole = RouteOfNet(RTN_BLACKHOLE, drivers::kRouteProtocol, RT_SCOPE_UNIVERSE);
const rtmsg kConnected = RouteOfNet(RTN_UNICAST, RTPROT_KERNEL, RT_SCOPE_LINK);

// `index` 0: of no link.
Message MessageOf(std::uint16_t type, int flags, rtmsg header, const Ipv4Prefix& destination,
                  std::uint32_t index) {
  header.rtm_dst_len = destination.length;
  Message message(type, flags);
  message.Header(header).U32(RTA_DST, Wire(destination.address));
  if (index != 0) message.U32(RTA_OIF, index);
  return message;
}

Message NeighbourMessage(std::uint16_t type, int flags, std::uint32_t index, Ipv4 address) {
  ndmsg header = {};
  header.ndm_family = AF_INET;
  header.ndm_ifindex = static_cast<int>(index);
  header.ndm_state = NUD_PERMANENT;
  Message message(type, flags);
  message.Header(header).U32(NDA_DST, Wire(address));
  return message;
}

// What the route that leads to the address out of this link says of the /32 we mean; nullopt: it
// says nothing of it.
std::optional<bool> TellsOfHostRoute(const nlmsghdr* part, std::uint32_t index) {
  const auto* header = HeaderOf<rtmsg>(part);
  if (header == nullptr) return std::nullopt;
  const Attributes attributes(part, sizeof *header);
  if (attributes.U32(RTA_TABLE).value_or(header->rtm_table) != RT_TABLE_MAIN) return std::nullopt;
  // The longest prefix wins: behind a shorter one there is no /32 in this table.
  if (header->rtm_dst_len != 32) return false;
  const bool ours = header->rtm_type == RTN_UNICAST && header->rtm_protocol == RTPROT_STATIC &&
                    header->rtm_scope == RT_SCOPE_LINK && attributes.U32(RTA_OIF) == index;
  return ours ? std::optional(true) : std::nullopt;
}

Route RouteOf(const rtmsg& header, const Attributes& attributes) {
  Route route;
  route.destination = {FromWire(attributes.U32(RTA_DST).value_or(0)), header.rtm_dst_len};
  route.index = attributes.U32(RTA_OIF).value_or(0);
  // Several next hops: a list of them, in which each begins with its header.
  if (const auto hop = attributes.Read<rtnexthop>(RTA_MULTIPATH)) {
    route.index = static_cast<std::uint32_t>(hop->rtnh_ifindex);
  }
  route.metric = attributes.U32(RTA_PRIORITY).value_or(0);
  if (const auto gateway = attributes.U32(RTA_GATEWAY)) route.gateway = FromWire(*gateway);
  return route;
}

bool IsMain(const rtmsg& header, const Attributes& attributes) {
  return attributes.U32(RTA_TABLE).value_or(header.rtm_table) == RT_TABLE_MAIN &&
         (header.rtm_flags & RTM_F_CLONED) == 0;
}

// Bits per second, if the link tells; TAPs claim 10 Mbit/s, which means nothing.
std::optional<std::uint64_t> SpeedOf(int fd, const std::string& name) {
  ethtool_cmd command = {};
  command.cmd = ETHTOOL_GSET;
  ifreq request = {};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&command);
  if (ioctl(fd, SIOCETHTOOL, &request) != 0) return std::nullopt;
  const std::uint32_t mbit = ethtool_cmd_speed(&command);
  if (mbit == 0 || mbit == static_cast<std::uint32_t>(SPEED_UNKNOWN)) return std::nullopt;
  return std::uint64_t{mbit} * 1'000'000;
}

}  // namespace

Result<std::unique_ptr<NetlinkRouteDriver>> NetlinkRouteDriver::Open(OwnChanges own) {
  ASSIGN_OR_RETURN(Socket changes, Socket::Open());
  ASSIGN_OR_RETURN(Socket looks, Socket::Open());
  ASSIGN_OR_RETURN(auto quiet, QuietSocket::OpenFor(own));
  UniqueFd ethtool(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!ethtool.valid()) return FromErrno(errno, "socket for ethtool");
  return std::unique_ptr<NetlinkRouteDriver>(new NetlinkRouteDriver(
      std::move(changes), std::move(looks), std::move(quiet), std::move(ethtool)));
}

Result<std::vector<Ipv4Prefix>> NetlinkRouteDriver::ListAddresses(std::uint32_t index) {
  std::vector<Ipv4Prefix> addresses;
  const auto make = [index] {
    ifaddrmsg header = {};
    header.ifa_family = AF_INET;
    header.ifa_index = index;
    Message message(RTM_GETADDR, 0);
    message.Header(header);
    return message;
  };
  RETURN_IF_ERROR(NothingIfGone(socket_.Dump(
      make, fmt::format("list addresses of {:#x}", index), [&] { addresses.clear(); },
      [&](const nlmsghdr* part) {
        const auto* header = HeaderOf<ifaddrmsg>(part);
        const bool every = index == drivers::kEveryLink;
        if (header == nullptr || (!every && header->ifa_index != index)) return;
        const auto local = Attributes(part, sizeof *header).U32(IFA_LOCAL);
        if (local) addresses.push_back({FromWire(*local), header->ifa_prefixlen});
      })));
  std::sort(addresses.begin(), addresses.end());
  return addresses;
}

Status NetlinkRouteDriver::AddAddress(std::uint32_t index, const Ipv4Prefix& address) {
  ASSIGN_OR_RETURN(const std::string what, What("add address", address, index));
  Message message = AddressMessage(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address);
  message.U32(IFA_FLAGS, IFA_F_NOPREFIXROUTE);
  return socket_.Request(message, what);
}

Status NetlinkRouteDriver::DeleteAddress(std::uint32_t index, const Ipv4Prefix& address) {
  ASSIGN_OR_RETURN(const std::string what, What("delete address", address, index));
  Message message = AddressMessage(RTM_DELADDR, 0, index, address);
  return socket_.Request(message, what);
}

Result<bool> NetlinkRouteDriver::HasRoute(const rtmsg& like, const Ipv4Prefix& destination,
                                          std::uint32_t index) {
  bool found = false;
  const auto make = [&] {
    rtmsg header = like;
    header.rtm_scope = 0;  // not asked by
    Message message(RTM_GETROUTE, 0);
    message.Header(header).U32(RTA_TABLE, RT_TABLE_MAIN);
    if (index != 0) message.U32(RTA_OIF, index);
    return message;
  };
  RETURN_IF_ERROR(NothingIfGone(socket_.Dump(
      make, fmt::format("list routes of {}", ToString(destination)), [&] { found = false; },
      [&](const nlmsghdr* part) {
        const auto* header = HeaderOf<rtmsg>(part);
        if (header == nullptr || header->rtm_type != like.rtm_type ||
            header->rtm_protocol != like.rtm_protocol) {
          return;
        }
        const Attributes attributes(part, sizeof *header);
        if (!IsMain(*header, attributes)) return;
        const Route route = RouteOf(*header, attributes);
        found = found || (route.destination == destination && route.index == index);
      })));
  return found;
}

Result<drivers::CidrRoutes> NetlinkRouteDriver::ObserveCidr(std::uint32_t index,
                                                            const Ipv4Prefix& cidr) {
  drivers::CidrRoutes routes;
  ASSIGN_OR_RETURN(routes.blackhole, HasRoute(kBlackhole, cidr, 0));
  ASSIGN_OR_RETURN(routes.connected, HasRoute(kConnected, cidr, index));
  return routes;
}

Status NetlinkRouteDriver::AddBlackhole(const Ipv4Prefix& cidr) {
  Message message = MessageOf(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, kBlackhole, cidr, 0);
  return socket_.Request(message, fmt::format("add blackhole {}", ToString(cidr)));
}

Status NetlinkRouteDriver::DeleteBlackhole(const Ipv4Prefix& cidr) {
  Message message = MessageOf(RTM_DELROUTE, 0, kBlackhole, cidr, 0);
  return socket_.Request(message, fmt::format("delete blackhole {}", ToString(cidr)));
}

Status NetlinkRouteDriver::DeleteConnectedRoute(std::uint32_t index, const Ipv4Prefix& cidr) {
  ASSIGN_OR_RETURN(const std::string what, What("delete connected route", cidr, index));
  Message message = MessageOf(RTM_DELROUTE, 0, kConnected, cidr, index);
  return socket_.Request(message, what);
}

Result<std::vector<Route>> NetlinkRouteDriver::DumpRoutes(std::uint32_t index,
                                                          bool host_routes_only) {
  std::vector<Route> routes;
  const auto make = [index] {
    rtmsg header = {};
    header.rtm_family = AF_INET;
    header.rtm_table = RT_TABLE_MAIN;
    Message message(RTM_GETROUTE, 0);
    message.Header(header).U32(RTA_TABLE, RT_TABLE_MAIN);
    if (index != 0) message.U32(RTA_OIF, index);
    return message;
  };
  RETURN_IF_ERROR(NothingIfGone(socket_.Dump(
      make, "list routes", [&] { routes.clear(); },
      [&](const nlmsghdr* part) {
        const auto* header = HeaderOf<rtmsg>(part);
        if (header == nullptr || header->rtm_type != RTN_UNICAST) return;
        const Attributes attributes(part, sizeof *header);
        if (!IsMain(*header, attributes)) return;
        if (host_routes_only &&
            (header->rtm_dst_len != 32 || header->rtm_protocol != RTPROT_STATIC ||
             header->rtm_scope != RT_SCOPE_LINK)) {
          return;
        }
        Route route = RouteOf(*header, attributes);
        if (index == 0 || route.index == index) routes.push_back(std::move(route));
      })));
  return routes;
}

Result<std::vector<Route>> NetlinkRouteDriver::ListRoutes() {
  ASSIGN_OR_RETURN(std::vector<Route> routes, DumpRoutes(0, false));
  std::map<std::uint32_t, std::string> names;
  for (Route& route : routes) {
    if (route.index == 0) continue;
    std::string& name = names[route.index];
    if (name.empty()) {
      ASSIGN_OR_RETURN(const auto link, ObserveLink(socket_, route.index));
      name = link ? link->name : fmt::format("link {}", route.index);
    }
    route.device = name;
  }
  return routes;
}

Result<std::vector<Ipv4>> NetlinkRouteDriver::ListHostRoutes(std::uint32_t index) {
  ASSIGN_OR_RETURN(const std::vector<Route> routes, DumpRoutes(index, true));
  std::vector<Ipv4> addresses;
  addresses.reserve(routes.size());
  for (const Route& route : routes) addresses.push_back(route.destination.address);
  std::sort(addresses.begin(), addresses.end());
  return addresses;
}

// Asks which route the kernel would take out of this link, not for all there are. Where that is no
// answer (a rule leads to another table, a route of somebody else covers ours, the link is down),
// the list is.
Result<bool> NetlinkRouteDriver::HasHostRoute(std::uint32_t index, Ipv4 address) {
  rtmsg header = {};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = 32;
  header.rtm_flags = RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE;
  Message message(RTM_GETROUTE, 0);
  message.Header(header).U32(RTA_DST, Wire(address)).U32(RTA_OIF, index);
  std::optional<bool> told;
  const Status status =
      socket_.Get(message, fmt::format("get route {} on {:#x}", ToString(address), index),
                  [&](const nlmsghdr* part) { told = TellsOfHostRoute(part, index); });
  if (status.ok() && told) return *told;
  ASSIGN_OR_RETURN(const std::vector<Ipv4> all, ListHostRoutes(index));
  return std::binary_search(all.begin(), all.end(), address);
}

Status NetlinkRouteDriver::AddHostRoute(std::uint32_t index, Ipv4 address) {
  ASSIGN_OR_RETURN(const std::string what, What("add route", address, index));
  Message message = RouteMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, index, address);
  return SocketOfInterface().Request(message, what);
}

Status NetlinkRouteDriver::DeleteHostRoute(std::uint32_t index, Ipv4 address) {
  ASSIGN_OR_RETURN(const std::string what, What("delete route", address, index));
  Message message = RouteMessage(RTM_DELROUTE, 0, index, address);
  return SocketOfInterface().Request(message, what);
}

Result<std::vector<Neighbour>> NetlinkRouteDriver::ListNeighbours(std::uint32_t index) {
  std::vector<Neighbour> neighbours;
  const auto make = [index] {
    ndmsg header = {};
    header.ndm_family = AF_INET;
    Message message(RTM_GETNEIGH, 0);
    message.Header(header).U32(NDA_IFINDEX, index);
    return message;
  };
  RETURN_IF_ERROR(NothingIfGone(socket_.Dump(
      make, fmt::format("list neighbours of {:#x}", index), [&] { neighbours.clear(); },
      [&](const nlmsghdr* part) {
        const auto* header = HeaderOf<ndmsg>(part);
        if (header == nullptr || header->ndm_ifindex != static_cast<int>(index)) return;
        if ((header->ndm_state & NUD_PERMANENT) == 0) return;
        const Attributes attributes(part, sizeof *header);
        const auto address = attributes.U32(NDA_DST);
        const auto mac = attributes.Read<MacAddress>(NDA_LLADDR);
        if (address && mac) neighbours.push_back({FromWire(*address), *mac});
      })));
  std::sort(neighbours.begin(), neighbours.end());
  return neighbours;
}

Lookup<MacAddress> NetlinkRouteDriver::ObserveNeighbour(std::uint32_t index, Ipv4 address) {
  ndmsg header = {};
  header.ndm_family = AF_INET;
  header.ndm_ifindex = static_cast<int>(index);
  Message message(RTM_GETNEIGH, 0);
  message.Header(header).U32(NDA_DST, Wire(address));
  std::optional<MacAddress> found;
  const auto note = [&](const nlmsghdr* part) {
    const auto* neighbour = HeaderOf<ndmsg>(part);
    if (neighbour == nullptr || (neighbour->ndm_state & NUD_PERMANENT) == 0) return;
    found = Attributes(part, sizeof *neighbour).Read<MacAddress>(NDA_LLADDR);
  };
  RETURN_IF_ERROR(NothingIfGone(socket_.Get(
      message, fmt::format("get neighbour {} on {:#x}", ToString(address), index), note)));
  return found;
}

Status NetlinkRouteDriver::SetNeighbour(std::uint32_t index, const Neighbour& neighbour) {
  ASSIGN_OR_RETURN(const std::string what, What("set neighbour", neighbour.address, index));
  Message message =
      NeighbourMessage(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, neighbour.address);
  message.Struct(NDA_LLADDR, neighbour.mac);
  return SocketOfInterface().Request(message, what);
}

Status NetlinkRouteDriver::DeleteNeighbour(std::uint32_t index, Ipv4 address) {
  ASSIGN_OR_RETURN(const std::string what, What("delete neighbour", address, index));
  Message message = NeighbourMessage(RTM_DELNEIGH, 0, index, address);
  return SocketOfInterface().Request(message, what);
}

Lookup<Uplink> NetlinkRouteDriver::DefaultUplink() {
  ASSIGN_OR_RETURN(const std::vector<Route> routes, ListRoutes());
  const Route* best = nullptr;
  for (const Route& route : routes) {
    if (route.destination.length != 0 || route.index == 0) continue;
    if (best == nullptr || route.metric < best->metric) best = &route;
  }
  if (best == nullptr) return std::optional<Uplink>();
  return std::optional<Uplink>({best->index, best->device, SpeedOf(ethtool_.get(), best->device)});
}

Lookup<Uplink> NetlinkRouteDriver::UplinkByName(const std::string& name) {
  ASSIGN_OR_RETURN(const auto link, ObserveLinkByName(socket_, name));
  if (!link) return std::optional<Uplink>();
  return std::optional<Uplink>({link->index, link->name, SpeedOf(ethtool_.get(), link->name)});
}

}  // namespace forkplane::netlink
