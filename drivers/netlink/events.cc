#include "drivers/netlink/events.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include "controller/base/network_names.h"
#include "drivers/netlink/message.h"
#include "drivers/route_driver.h"

namespace forkplane::netlink {
namespace {

using drivers::LinkEvent;
using drivers::LinkEventKind;

std::optional<LinkEvent> LinkEventOf(const nlmsghdr* message) {
  const auto* header = HeaderOf<ifinfomsg>(message);
  if (header == nullptr) return std::nullopt;
  // A port that leaves its bridge is announced as DELLINK of family AF_BRIDGE: the link lives on.
  const bool gone = message->nlmsg_type == RTM_DELLINK && header->ifi_family == AF_UNSPEC;
  const auto index = static_cast<std::uint32_t>(header->ifi_index);
  if (gone) return LinkEvent{LinkEventKind::kLinkGone, index, 0};
  LinkEvent event{LinkEventKind::kLink, index, 0, (header->ifi_change & IFF_UP) != 0};
  // Of a new link everything has changed.
  constexpr unsigned kAll = ~0U;
  event.down = event.turned && header->ifi_change != kAll && (header->ifi_flags & IFF_UP) == 0;
  return event;
}

std::optional<LinkEvent> TcEventOf(LinkEventKind kind, const nlmsghdr* message) {
  const auto* header = HeaderOf<tcmsg>(message);
  if (header == nullptr) return std::nullopt;
  LinkEvent event{kind, static_cast<std::uint32_t>(header->tcm_ifindex)};
  if (kind != LinkEventKind::kFilter) event.handle = header->tcm_handle;
  if (kind != LinkEventKind::kClass && IsHtbHandle(header->tcm_parent)) {
    event.parent = header->tcm_parent;
  }
  return event;
}

std::optional<LinkEvent> AddressEventOf(const nlmsghdr* message) {
  const auto* header = HeaderOf<ifaddrmsg>(message);
  if (header == nullptr || header->ifa_family != AF_INET) return std::nullopt;
  const bool gone = message->nlmsg_type == RTM_DELADDR;
  return LinkEvent{gone ? LinkEventKind::kAddressGone : LinkEventKind::kAddress, header->ifa_index};
}

// A default route, of one next hop or of several.
bool IsDefaultRoute(const rtmsg& header, const Attributes& attributes) {
  return header.rtm_family == AF_INET && header.rtm_dst_len == 0 &&
         attributes.U32(RTA_TABLE).value_or(header.rtm_table) == RT_TABLE_MAIN;
}

// A host route that goes, or whose place another one takes (new ones are of no interest); a default
// route that comes, moves or goes.
std::optional<LinkEvent> RouteEventOf(const nlmsghdr* message) {
  const auto* header = HeaderOf<rtmsg>(message);
  if (header != nullptr && IsDefaultRoute(*header, Attributes(message, sizeof *header))) {
    return LinkEvent{LinkEventKind::kDefaultRoute};
  }
  const bool lost =
      message->nlmsg_type == RTM_DELROUTE || (message->nlmsg_flags & NLM_F_REPLACE) != 0;
  if (header == nullptr || !lost || header->rtm_family != AF_INET) return std::nullopt;
  const Attributes attributes(message, sizeof *header);
  if (header->rtm_type == RTN_BLACKHOLE && header->rtm_protocol == drivers::kRouteProtocol) {
    LinkEvent event{LinkEventKind::kBlackholeGone};
    event.address = {ntohl(attributes.U32(RTA_DST).value_or(0))};
    return event;
  }
  if (header->rtm_dst_len != 32) return std::nullopt;
  LinkEvent event{LinkEventKind::kRoute, attributes.U32(RTA_OIF).value_or(0)};
  event.address = {ntohl(attributes.U32(RTA_DST).value_or(0))};
  return event;
}

std::optional<LinkEvent> NeighbourEventOf(const nlmsghdr* message) {
  const auto* header = HeaderOf<ndmsg>(message);
  if (header == nullptr || header->ndm_family != AF_INET) return std::nullopt;
  const Attributes attributes(message, sizeof *header);
  LinkEvent event{LinkEventKind::kNeighbour, static_cast<std::uint32_t>(header->ndm_ifindex)};
  event.address = {ntohl(attributes.U32(NDA_DST).value_or(0))};
  if (message->nlmsg_type == RTM_NEWNEIGH && (header->ndm_state & NUD_PERMANENT) != 0) {
    event.mac = attributes.Read<MacAddress>(NDA_LLADDR);
  }
  return event;
}

std::optional<LinkEvent> SwitchEventOf(const nlmsghdr* message) {
  const auto* header = HeaderOf<netconfmsg>(message);
  if (header == nullptr || header->ncm_family != AF_INET) return std::nullopt;
  const Attributes attributes(message, sizeof *header);
  constexpr auto kAllLinks = static_cast<std::uint32_t>(NETCONFA_IFINDEX_ALL);
  constexpr auto kNewLinks = static_cast<std::uint32_t>(NETCONFA_IFINDEX_DEFAULT);
  const std::uint32_t index = attributes.U32(NETCONFA_IFINDEX).value_or(kAllLinks);
  if (index == kNewLinks) return std::nullopt;
  const auto forwarding = attributes.U32(NETCONFA_FORWARDING);
  const auto filter = attributes.U32(NETCONFA_RP_FILTER);
  if (index == kAllLinks) {
    return forwarding ? std::optional(LinkEvent{LinkEventKind::kForwarding}) : std::nullopt;
  }
  // Of others' links what comes in by them has to be forwarded, if it is for guests.
  if (!IsOwnedIndex(index)) {
    return forwarding == 0U ? std::optional(LinkEvent{LinkEventKind::kSwitch, index})
                            : std::nullopt;
  }
  // A link that is new tells all of its switches at once.
  if (forwarding && filter) return std::nullopt;
  const bool off =
      forwarding == 0U || (filter && filter != 1U) || attributes.U32(NETCONFA_PROXY_NEIGH) == 0U;
  return off ? std::optional(LinkEvent{LinkEventKind::kSwitch, index}) : std::nullopt;
}

std::optional<LinkEvent> RuleEventOf(const nlmsghdr* message) {
  const auto* header = HeaderOf<fib_rule_hdr>(message);
  if (header == nullptr || header->family != AF_INET) return std::nullopt;
  const bool ours =
      Attributes(message, sizeof *header).U32(FRA_FWMARK).value_or(0) == kUnjudgedMark;
  return ours ? std::optional(LinkEvent{LinkEventKind::kUnjudgedRuleGone}) : std::nullopt;
}

std::optional<LinkEvent> EventOf(const nlmsghdr* message) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return LinkEventOf(message);
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
      return TcEventOf(LinkEventKind::kQdisc, message);
    case RTM_NEWTCLASS:
    case RTM_DELTCLASS:
      return TcEventOf(LinkEventKind::kClass, message);
    case RTM_NEWTFILTER:
    case RTM_DELTFILTER:
    case RTM_NEWCHAIN:
    case RTM_DELCHAIN:
      return TcEventOf(LinkEventKind::kFilter, message);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return AddressEventOf(message);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return RouteEventOf(message);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return NeighbourEventOf(message);
    case RTM_NEWNETCONF:
      return SwitchEventOf(message);
    case RTM_DELRULE:
      return RuleEventOf(message);
    default:
      return std::nullopt;
  }
}

// Of links that are not ours only what happens to a HTB of ours, and to their forwarding.
bool Concerns(const LinkEvent& event) {
  return IsOwnedIndex(event.index) || event.kind == LinkEventKind::kForwarding ||
         event.kind == LinkEventKind::kSwitch || event.kind == LinkEventKind::kBlackholeGone ||
         event.kind == LinkEventKind::kUnjudgedRuleGone ||
         event.kind == LinkEventKind::kDefaultRoute || IsHtbHandle(event.handle) ||
         IsHtbHandle(event.parent);
}

Result<UniqueFd> OpenGroups(int receive_buffer_bytes) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd.valid()) return FromErrno(errno, "event socket");
  // FORCE goes beyond net.core.rmem_max; without CAP_NET_ADMIN nothing else here would work.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes,
                 sizeof receive_buffer_bytes) != 0) {
    return FromErrno(errno, "event socket buffer");
  }
  // Without bind the groups are joined but nothing is ever delivered.
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FromErrno(errno, "bind event socket");
  }
  for (const int group : {RTNLGRP_LINK, RTNLGRP_TC, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                          RTNLGRP_NEIGH, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV4_RULE}) {
    if (setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      return FromErrno(errno, "join event group");
    }
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<NetlinkLinkEvents>> NetlinkLinkEvents::Open(int receive_buffer_bytes,
                                                                   Doings quiet) {
  ASSIGN_OR_RETURN(UniqueFd socket, OpenGroups(receive_buffer_bytes));
  std::unique_ptr<QuietFilter> filter;
  if (quiet == Doings::kPassedOver) {
    ASSIGN_OR_RETURN(filter, QuietFilter::Attach(socket.get()));
  }
  ASSIGN_OR_RETURN(FirewallEvents firewall, FirewallEvents::Open(receive_buffer_bytes));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return FromErrno(errno, "eventfd");
  return std::unique_ptr<NetlinkLinkEvents>(new NetlinkLinkEvents(
      std::move(socket), std::move(firewall), std::move(wake), std::move(filter)));
}

Status NetlinkLinkEvents::Start(Callback callback) {
  if (thread_.joinable()) return Conflict("link events: already started");
  thread_ = std::jthread(
      [this, callback = std::move(callback)](const std::stop_token& stop) { Run(stop, callback); });
  return OkStatus();
}

void NetlinkLinkEvents::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  const std::uint64_t one = 1;
  // Cannot fail: the counter is far from its maximum.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  thread_.join();
  thread_ = std::jthread();
}

void NetlinkLinkEvents::Run(const std::stop_token& stop, const Callback& callback) {
  std::array<pollfd, 3> files = {pollfd{socket_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0},
                                 pollfd{firewall_.fd(), POLLIN, 0}};
  while (!stop.stop_requested()) {
    if (poll(files.data(), files.size(), -1) < 0 && errno != EINTR) {
      callback({LinkEventKind::kLost, 0, 0});
      return;
    }
    // First: without rules packets pass that must not.
    if ((files[2].revents & (POLLIN | POLLERR)) != 0 && firewall_.Drain()) {
      callback({LinkEventKind::kFirewall});
    }
    if ((files[0].revents & (POLLIN | POLLERR)) == 0) continue;
    Drain(stop, callback);
    Gather(files);
  }
}

void NetlinkLinkEvents::Gather(std::array<pollfd, 3>& files) const {
  using std::chrono::nanoseconds;
  const timespec wait = {0, nanoseconds(kEventGather).count()};
  files[0].fd = -1;
  // However it ends, the next poll tells.
  [[maybe_unused]] const int ready = ppoll(files.data(), files.size(), &wait, nullptr);
  files[0].fd = socket_.get();
}

void NetlinkLinkEvents::Drain(const std::stop_token& stop, const Callback& callback) {
  // From the heap: a thread_local of this size would be part of the stack of every thread there is.
  const auto buffer = std::make_unique_for_overwrite<char[]>(kEventReadBytes);
  bool lost = false;
  while (!stop.stop_requested()) {
    const ssize_t size = recv(socket_.get(), buffer.get(), kEventReadBytes, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {
      lost = true;
      callback({LinkEventKind::kLost, 0, 0});
      continue;
    }
    if (size <= 0) break;  // EAGAIN: empty
    auto left = static_cast<unsigned>(size);
    for (auto* part = reinterpret_cast<nlmsghdr*>(buffer.get()); NLMSG_OK(part, left);
         part = NLMSG_NEXT(part, left)) {
      const auto event = EventOf(part);
      if (!event) continue;
      if (Concerns(*event)) callback(*event);
    }
  }
  // Of what happened while the backlog was read nothing was queued.
  if (lost) callback({LinkEventKind::kLost, 0, 0});
}

}  // namespace forkplane::netlink
