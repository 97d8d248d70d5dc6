#include "drivers/netlink/flow_message.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <sys/socket.h>

#include "controller/base/check.h"

namespace forkplane::netlink {
namespace {

// Bits of CTA_FILTER_*_FLAGS: which parts of the tuple given must be equal. The kernel's exported
// headers have the attributes and not the bits.
constexpr std::uint32_t kFilterSource = 1U << 0;
constexpr std::uint32_t kFilterDestination = 1U << 1;

struct Place {
  int tuple;         // CTA_TUPLE_*
  int address;       // CTA_IP_V4_*
  int filter_flags;  // CTA_FILTER_*_FLAGS
  std::uint32_t filter_bit;
};
constexpr std::array<Place, kFlowPlaces> kPlaces = {{
    {CTA_TUPLE_ORIG, CTA_IP_V4_SRC, CTA_FILTER_ORIG_FLAGS, kFilterSource},
    {CTA_TUPLE_ORIG, CTA_IP_V4_DST, CTA_FILTER_ORIG_FLAGS, kFilterDestination},
    {CTA_TUPLE_REPLY, CTA_IP_V4_SRC, CTA_FILTER_REPLY_FLAGS, kFilterSource},
    {CTA_TUPLE_REPLY, CTA_IP_V4_DST, CTA_FILTER_REPLY_FLAGS, kFilterDestination},
}};

Message MessageOf(int op) {
  Message message(static_cast<std::uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | op), 0);
  nfgenmsg header = {};
  header.nfgen_family = AF_INET;
  header.version = NFNETLINK_V0;
  message.Header(header);
  return message;
}

// The filter is refused without the flag that says what it is; libnl does not set it.
template <typename Fill>
void Nested(Message& message, int type, const Fill& fill) {
  message.Nest(type | NLA_F_NESTED, fill);
}

}  // namespace

Message CountFlows() { return MessageOf(IPCTNL_MSG_CT_GET_STATS); }

Message ListFlows() { return MessageOf(IPCTNL_MSG_CT_GET); }

Message ListFlows(std::size_t place, Ipv4 address) {
  const Place& at = kPlaces.at(place);
  Message message = ListFlows();
  Nested(message, at.tuple, [&](Message& tuple) {
    Nested(tuple, CTA_TUPLE_IP, [&](Message& ip) { ip.U32(at.address, htonl(address.value)); });
  });
  Nested(message, CTA_FILTER, [&](Message& filter) { filter.U32(at.filter_flags, at.filter_bit); });
  return message;
}

Message RemoveFlow(const TrackedFlow& flow) {
  // Without a tuple it would mean every entry of the host.
  CHECK(!flow.tuple.empty());
  Message message = MessageOf(IPCTNL_MSG_CT_DELETE);
  message.Bytes(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple.data(), flow.tuple.size());
  if (flow.zone) message.Struct(CTA_ZONE, *flow.zone);
  // Another connection may have the same tuple by now.
  if (flow.id) message.U32(CTA_ID, *flow.id);
  return message;
}

std::optional<std::uint32_t> ReadFlowCount(const nlmsghdr* message) {
  const auto count = Attributes(message, sizeof(nfgenmsg)).U32(CTA_STATS_GLOBAL_ENTRIES);
  if (!count) return std::nullopt;
  return ntohl(*count);
}

std::optional<TrackedFlow> ReadFlow(const nlmsghdr* message) {
  const Attributes entry(message, sizeof(nfgenmsg));
  const nlattr* tuple = entry.Get(CTA_TUPLE_ORIG);
  if (tuple == nullptr || nla_len(tuple) <= 0) return std::nullopt;
  TrackedFlow flow;
  for (std::size_t i = 0; i < kFlowPlaces; ++i) {
    const Place& at = kPlaces.at(i);
    const auto address = entry.Nested(at.tuple).Nested(CTA_TUPLE_IP).U32(at.address);
    flow.addresses.at(i).value = ntohl(address.value_or(0));
  }
  const Attributes reply = entry.Nested(CTA_TUPLE_REPLY).Nested(CTA_TUPLE_PROTO);
  flow.protocol = reply.U8(CTA_PROTO_NUM).value_or(0);
  flow.port = ntohs(reply.Read<std::uint16_t>(CTA_PROTO_SRC_PORT).value_or(0));
  flow.tuple.assign(static_cast<const char*>(nla_data(tuple)),
                    static_cast<std::size_t>(nla_len(tuple)));
  flow.zone = entry.Read<std::uint16_t>(CTA_ZONE);
  flow.id = entry.U32(CTA_ID);
  return flow;
}

}  // namespace forkplane::netlink
