// Messages of ctnetlink: entries of connection tracking asked for, read and removed. Pure.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "controller/base/net_address.h"
#include "drivers/netlink/message.h"

namespace forkplane::netlink {

// Where an entry has an address: source and destination of the original direction, then of the
// reply.
inline constexpr std::size_t kFlowPlaces = 4;

struct TrackedFlow {
  std::array<Ipv4, kFlowPlaces> addresses = {};  // zero: not told
  std::uint8_t protocol = 0;
  std::uint16_t port = 0;  // source of the reply; 0: none
  // What names the entry to the kernel, as it was read.
  std::string tuple = {};  // inside CTA_TUPLE_ORIG
  std::optional<std::uint16_t> zone = {};
  std::optional<std::uint32_t> id = {};
};

Message CountFlows();
Message ListFlows();
// Only those that have `address` at that place; a kernel that cannot do it refuses, or lists all.
Message ListFlows(std::size_t place, Ipv4 address);
Message RemoveFlow(const TrackedFlow& flow);

// The answer to CountFlows.
std::optional<std::uint32_t> ReadFlowCount(const nlmsghdr* message);
// nullopt: not an entry.
std::optional<TrackedFlow> ReadFlow(const nlmsghdr* message);

}  // namespace forkplane::netlink
