// The few kernel switches we need, below /proc/sys/net. They are read and written in the network
// namespace of the calling thread (proc resolves it at each open).
#pragma once

#include <cstdint>
#include <string>

#include "controller/base/result.h"

namespace forkplane::drivers {

// Of IPv4, of one link (net.ipv4.conf.<link>.*).
enum class LinkSwitch : std::uint8_t {
  kForwarding,         // forwarding: what comes in by it may leave by another link
  kReversePathFilter,  // rp_filter=1: what comes in by it must have a source that it leads to
};

constexpr const char* ToString(LinkSwitch which) {
  return which == LinkSwitch::kForwarding ? "forwarding" : "rp_filter";
}

class SysctlDriver {
 public:
  virtual ~SysctlDriver() = default;

  virtual Result<bool> Ipv4Forwarding() = 0;
  virtual Status EnableIpv4Forwarding() = 0;

  // Of one link. A kernel without IPv6 reports true. NotFound: no such link.
  virtual Result<bool> Ipv6Disabled(const std::string& link) = 0;
  // Before the link goes up: no link-local address, no router solicitation. Links of ours only
  // (Invalid otherwise).
  virtual Status DisableIpv6(const std::string& link) = 0;

  // Links of ours only (Invalid otherwise). NotFound: no such link.
  virtual Result<bool> IsOn(const std::string& link, LinkSwitch which) = 0;
  virtual Status SwitchOn(const std::string& link, LinkSwitch which) = 0;
};

}  // namespace forkplane::drivers
