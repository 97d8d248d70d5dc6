#include "drivers/netlink/link.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "controller/base/network_names.h"

namespace forkplane::netlink {
namespace {

using drivers::Link;
using drivers::LinkKind;

constexpr std::size_t kAliasSizeMax = 255;  // IFALIASZ - 1, which no user header has
constexpr unsigned kUp = IFF_UP;

ifinfomsg LinkHeader(std::uint32_t index, unsigned flags = 0, unsigned change = 0) {
  ifinfomsg header = {};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = flags;
  header.ifi_change = change;
  return header;
}

std::string What(std::string_view verb, std::uint32_t index) {
  return fmt::format("{} link {:#x}", verb, index);
}

Status CheckOwned(std::string_view verb, std::uint32_t index) {
  if (IsOwnedIndex(index)) return OkStatus();
  return Invalid(fmt::format("{}: not an index of ours", What(verb, index)));
}

LinkKind KindOf(const std::string& kind) {
  if (kind == "bridge") return LinkKind::kBridge;
  if (kind == "ifb") return LinkKind::kIfb;
  if (kind == "tun") return LinkKind::kTap;
  return LinkKind::kOther;
}

Link LinkOf(const ifinfomsg& header, const Attributes& attributes) {
  Link link;
  link.index = static_cast<std::uint32_t>(header.ifi_index);
  link.up = (header.ifi_flags & IFF_UP) != 0;
  link.name = attributes.Text(IFLA_IFNAME);
  link.alias = attributes.Text(IFLA_IFALIAS);
  link.mtu = attributes.U32(IFLA_MTU).value_or(0);
  link.queue_length = attributes.U32(IFLA_TXQLEN).value_or(0);
  link.master = attributes.U32(IFLA_MASTER).value_or(0);
  link.carrier = attributes.U8(IFLA_CARRIER).value_or(0) != 0;
  if (const auto mac = attributes.Read<MacAddress>(IFLA_ADDRESS)) link.mac = *mac;
  const Attributes info = attributes.Nested(IFLA_LINKINFO);
  link.kind = KindOf(info.Text(IFLA_INFO_KIND));
  if (info.Text(IFLA_INFO_SLAVE_KIND) == "bridge") {
    const Attributes port = info.Nested(IFLA_INFO_SLAVE_DATA);
    link.isolated = port.U8(IFLA_BRPORT_ISOLATED).value_or(0) != 0;
  }
  return link;
}

Lookup<Link> GetLink(SharedSocket& socket, Message& message, std::string_view what) {
  message.U32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::optional<Link> found;
  const Status status = socket.Get(message, what, [&](const nlmsghdr* part) {
    const auto* header = HeaderOf<ifinfomsg>(part);
    if (header != nullptr) found = LinkOf(*header, Attributes(part, sizeof *header));
  });
  if (!status.ok() && status.error().code == Code::kNotFound) return std::optional<Link>();
  RETURN_IF_ERROR(status);
  return found;
}

// Index, kind, name; the caller adds the rest.
Message CreateMessage(std::uint32_t index, const std::string& name, const char* kind) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Header(LinkHeader(index)).Text(IFLA_IFNAME, name);
  message.Nest(IFLA_LINKINFO, [&](Message& info) { info.Text(IFLA_INFO_KIND, kind); });
  return message;
}

}  // namespace

Status SetLinkAlias(SharedSocket& socket, std::uint32_t index, const std::string& alias) {
  if (alias.size() > kAliasSizeMax) {
    return Invalid(fmt::format("{}: longer than {}", What("set alias of", index), kAliasSizeMax));
  }
  Message message(RTM_NEWLINK, 0);
  // Without its zero, as ip does: the kernel counts the bytes it is given.
  message.Header(LinkHeader(index)).Bytes(IFLA_IFALIAS, alias.data(), alias.size());
  return socket.Request(message, What("set alias of", index));
}

Status DeleteLink(std::uint32_t index) {
  ASSIGN_OR_RETURN(Socket socket, Socket::Open());
  Message message(RTM_DELLINK, 0);
  message.Header(LinkHeader(index));
  return socket.Request(message, What("delete", index));
}

Lookup<Link> ObserveLink(SharedSocket& socket, std::uint32_t index) {
  Message message(RTM_GETLINK, 0);
  message.Header(LinkHeader(index));
  return GetLink(socket, message, What("get", index));
}

Lookup<Link> ObserveLinkByName(SharedSocket& socket, const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) return std::optional<Link>();
  Message message(RTM_GETLINK, 0);
  message.Header(LinkHeader(0)).Text(IFLA_IFNAME, name);
  return GetLink(socket, message, fmt::format("get link {}", name));
}

Result<std::unique_ptr<NetlinkLinkDriver>> NetlinkLinkDriver::Open() {
  ASSIGN_OR_RETURN(Socket changes, Socket::Open());
  ASSIGN_OR_RETURN(Socket looks, Socket::Open());
  return std::unique_ptr<NetlinkLinkDriver>(
      new NetlinkLinkDriver(std::move(changes), std::move(looks)));
}

Lookup<Link> NetlinkLinkDriver::Observe(std::uint32_t index) { return ObserveLink(socket_, index); }

Lookup<Link> NetlinkLinkDriver::ObserveByName(const std::string& name) {
  return ObserveLinkByName(socket_, name);
}

Result<std::vector<Link>> NetlinkLinkDriver::ListOwned() {
  std::vector<Link> links;
  const auto make = [] {
    Message message(RTM_GETLINK, 0);
    message.Header(LinkHeader(0)).U32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    return message;
  };
  RETURN_IF_ERROR(socket_.Dump(
      make, "list links", [&] { links.clear(); },
      [&](const nlmsghdr* part) {
        const auto* header = HeaderOf<ifinfomsg>(part);
        if (header == nullptr || part->nlmsg_type != RTM_NEWLINK) return;
        if (!IsOwnedIndex(static_cast<std::uint32_t>(header->ifi_index))) return;
        links.push_back(LinkOf(*header, Attributes(part, sizeof *header)));
      }));
  std::sort(links.begin(), links.end(),
            [](const Link& a, const Link& b) { return a.index < b.index; });
  return links;
}

Status NetlinkLinkDriver::CreateBridge(const drivers::BridgeSpec& spec) {
  const std::uint32_t index = BridgeIndex(spec.n);
  if (spec.n > kBridgeMax) return Invalid(What("create bridge: number of", index));
  Message message = CreateMessage(index, BridgeName(spec.n), "bridge");
  message.Struct(IFLA_ADDRESS, spec.mac).U32(IFLA_MTU, spec.mtu);
  RETURN_IF_ERROR(socket_.Request(message, What("create bridge", index)));
  // The kernel takes no alias while it creates. A crash here leaves a bridge whose alias is then
  // seen to be wrong and set.
  return SetLinkAlias(socket_, index, spec.alias);
}

Status NetlinkLinkDriver::CreateIfb(const drivers::IfbSpec& spec) {
  const std::uint32_t index = IfbIndex(spec.ifb);
  if (spec.ifb > kIfbMax) return Invalid(What("create ifb: number of", index));
  Message message = CreateMessage(index, IfbName(spec.ifb), "ifb");
  message.U32(IFLA_TXQLEN, kIfbQueueLength);
  RETURN_IF_ERROR(socket_.Request(message, What("create ifb", index)));
  return SetLinkAlias(socket_, index, spec.alias);
}

Status NetlinkLinkDriver::SetUp(std::uint32_t index, bool up) {
  RETURN_IF_ERROR(CheckOwned("set up", index));
  Message message(RTM_NEWLINK, 0);
  message.Header(LinkHeader(index, up ? kUp : 0, kUp));
  return socket_.Request(message, What(up ? "set up" : "set down", index));
}

Status NetlinkLinkDriver::SetMac(std::uint32_t index, const MacAddress& mac) {
  RETURN_IF_ERROR(CheckOwned("set MAC of", index));
  Message message(RTM_NEWLINK, 0);
  message.Header(LinkHeader(index)).Struct(IFLA_ADDRESS, mac);
  return socket_.Request(message, What("set MAC of", index));
}

Status NetlinkLinkDriver::SetMtu(std::uint32_t index, std::uint32_t mtu) {
  RETURN_IF_ERROR(CheckOwned("set MTU of", index));
  Message message(RTM_NEWLINK, 0);
  message.Header(LinkHeader(index)).U32(IFLA_MTU, mtu);
  return socket_.Request(message, What("set MTU of", index));
}

Status NetlinkLinkDriver::SetName(std::uint32_t index, const std::string& name) {
  RETURN_IF_ERROR(CheckOwned("set name of", index));
  if (name.empty() || name.size() >= IFNAMSIZ) return Invalid(What("set name of", index));
  Message message(RTM_NEWLINK, 0);
  message.Header(LinkHeader(index)).Text(IFLA_IFNAME, name);
  Status status = socket_.Request(message, What("set name of", index));
  if (status.ok() || status.error().sys_errno != EBUSY) return status;
  Error error = std::move(status).error();
  error.code = Code::kConflict;
  return error;
}

Status NetlinkLinkDriver::SetAlias(std::uint32_t index, const std::string& alias) {
  RETURN_IF_ERROR(CheckOwned("set alias of", index));
  return SetLinkAlias(socket_, index, alias);
}

Status NetlinkLinkDriver::SetMaster(std::uint32_t index, std::uint32_t master) {
  RETURN_IF_ERROR(CheckOwned("set master of", index));
  Message message(RTM_NEWLINK, 0);
  message.Header(LinkHeader(index)).U32(IFLA_MASTER, master);
  Status status = socket_.Request(message, What("set master of", index));
  if (status.ok() || status.error().sys_errno != EINVAL) return status;
  // The kernel says EINVAL for a master that does not exist, too.
  ASSIGN_OR_RETURN(const std::optional<Link> bridge, ObserveLink(socket_, master));
  if (bridge.has_value()) return status;
  return NotFound(fmt::format("set master of link {:#x}: no link {:#x}", index, master));
}

Status NetlinkLinkDriver::SetPortUp(std::uint32_t index, bool isolated) {
  return SetSlave(index, isolated, true);
}

Status NetlinkLinkDriver::SetPortIsolation(std::uint32_t index, bool isolated) {
  return SetSlave(index, isolated, false);
}

// Master and slave data in one message is EOPNOTSUPP and nothing of it applied, so the master has
// to be there before (measured).
Status NetlinkLinkDriver::SetSlave(std::uint32_t index, bool isolated, bool up) {
  RETURN_IF_ERROR(CheckOwned("set port", index));
  Message message(RTM_NEWLINK, 0);
  message.Header(up ? LinkHeader(index, kUp, kUp) : LinkHeader(index));
  message.Nest(IFLA_LINKINFO, [&](Message& info) {
    info.Text(IFLA_INFO_SLAVE_KIND, "bridge");
    info.Nest(IFLA_INFO_SLAVE_DATA,
              [&](Message& port) { port.U8(IFLA_BRPORT_ISOLATED, isolated ? 1 : 0); });
  });
  Status status = socket_.Request(message, What("set port", index));
  if (!status.ok() && status.error().sys_errno == EOPNOTSUPP) {
    Error error = std::move(status).error();
    error.code = Code::kConflict;
    return error;
  }
  return status;
}

Status NetlinkLinkDriver::Delete(std::uint32_t index) {
  RETURN_IF_ERROR(CheckOwned("delete", index));
  return DeleteLink(index);
}

}  // namespace forkplane::netlink
