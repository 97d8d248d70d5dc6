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

struct Flow {
  std::array<Ipv4, kFlowPlaces> addresses = {};  // zero: not told
  // What names the entry to the kernel, as it was read.
  std::string tuple = {};  // inside CTA_TUPLE_ORIG
  std::optional<std::uint16_t> zone = {};
  std::optional<std::uint32_t> id = {};
};

Message CountFlows();
Message ListFlows();
// Only those that have `address` at that place; a kernel that cannot do it refuses, or lists all.
Message ListFlows(std::size_t place, Ipv4 address);
Message RemoveFlow(const Flow& flow);

// The answer to CountFlows.
std::optional<std::uint32_t> ReadFlowCount(const nlmsghdr* message);
// nullopt: not an entry.
std::optional<Flow> ReadFlow(const nlmsghdr* message);

}  // namespace forkplane::netlink
