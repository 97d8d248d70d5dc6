// TBF and HTB parameters to and from attributes. Pure.
#pragma once

#include <linux/rtnetlink.h>

#include <cstdint>

#include "drivers/netlink/message.h"
#include "drivers/qdisc_driver.h"

namespace forkplane::netlink {

tcmsg TcHeader(std::uint32_t index, std::uint32_t parent, std::uint32_t handle);
Message TcMessage(std::uint16_t type, int flags, const tcmsg& header);

// TCA_OPTIONS of each kind.
void PutTbf(Message& message, const drivers::Tbf& tbf);
void PutHtbRoot(Message& message, std::uint32_t default_minor);
void PutHtbClass(Message& message, const drivers::HtbClass& htb);
void PutLeaf(Message& message, const drivers::Leaf& leaf);  // and TCA_KIND

// `attributes` are those of the whole tcmsg.
drivers::ObservedRoot RootOf(const tcmsg& header, const Attributes& attributes);
drivers::ObservedClass ClassOf(const tcmsg& header, const Attributes& attributes);
std::optional<drivers::Leaf> LeafOf(const Attributes& attributes);
drivers::TcCounters CountersOf(const Attributes& attributes);

}  // namespace forkplane::netlink
