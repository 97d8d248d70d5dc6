#include "drivers/netlink/firewall_events.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "controller/base/network_names.h"
#include "drivers/netlink/message.h"

namespace forkplane::netlink {
namespace {

// The attribute with the table's name has this number in messages about tables, chains, rules,
// sets, elements and objects alike.
constexpr int kTableName = NFTA_TABLE_NAME;

bool IsOfOurTable(const nlmsghdr* message) {
  if (message->nlmsg_type >> 8U != NFNL_SUBSYS_NFTABLES) return false;
  const int type = message->nlmsg_type & 0xff;
  if (type == NFT_MSG_NEWGEN) return false;
  const auto* header = HeaderOf<nfgenmsg>(message);
  if (header == nullptr || header->nfgen_family != NFPROTO_INET) return false;
  return Attributes(message, sizeof *header).Text(kTableName) == kFirewallTable;
}

}  // namespace

Result<FirewallEvents> FirewallEvents::Open(int receive_buffer_bytes) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  if (!fd.valid() && errno == EPROTONOSUPPORT) return FirewallEvents(UniqueFd());
  if (!fd.valid()) return FromErrno(errno, "event socket of nftables");
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes,
                 sizeof receive_buffer_bytes) != 0) {
    return FromErrno(errno, "event socket buffer of nftables");
  }
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FromErrno(errno, "bind event socket of nftables");
  }
  const int group = NFNLGRP_NFTABLES;
  if (setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
    return FromErrno(errno, "join event group of nftables");
  }
  return FirewallEvents(std::move(fd));
}

bool FirewallEvents::Drain() {
  if (!socket_.valid()) return false;
  // From the heap: a thread_local of this size would be part of the stack of every thread there is.
  const auto buffer = std::make_unique_for_overwrite<char[]>(kEventReadBytes);
  bool ours = false;
  while (true) {
    const ssize_t size = recv(socket_.get(), buffer.get(), kEventReadBytes, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {
      ours = true;
      continue;
    }
    if (size <= 0) return ours;  // EAGAIN: empty
    auto left = static_cast<unsigned>(size);
    for (auto* part = reinterpret_cast<nlmsghdr*>(buffer.get()); NLMSG_OK(part, left);
         part = NLMSG_NEXT(part, left)) {
      ours = ours || IsOfOurTable(part);
    }
  }
}

}  // namespace forkplane::netlink
