// The few kernel switches we need, below /proc/sys/net. They are read and written in the network
// namespace of the calling thread (proc resolves it at each open).
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>

#include "controller/base/result.h"

namespace forkplane::drivers {

// Of IPv4, of one link (net.ipv4.conf.<link>.*).
enum class LinkSwitch : std::uint8_t {
  kForwarding,         // forwarding: what comes in by it may leave by another link
  kReversePathFilter,  // rp_filter=1: what comes in by it must have a source that it leads to
  kMarkedSource,       // src_valid_mark: the way back is looked for with the packet's mark
};
// What every link has that guests reach the host by.
inline constexpr std::array<LinkSwitch, 3> kGuestLinkSwitches = {
    LinkSwitch::kForwarding, LinkSwitch::kReversePathFilter, LinkSwitch::kMarkedSource};

constexpr const char* ToString(LinkSwitch which) {
  switch (which) {
    case LinkSwitch::kForwarding:
      return "forwarding";
    case LinkSwitch::kReversePathFilter:
      return "rp_filter";
    case LinkSwitch::kMarkedSource:
      break;
  }
  return "src_valid_mark";
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

// Those of kGuestLinkSwitches that are on.
inline Result<std::set<LinkSwitch>> ObserveGuestLink(SysctlDriver& sysctls,
                                                     const std::string& link) {
  std::set<LinkSwitch> on;
  for (const LinkSwitch which : kGuestLinkSwitches) {
    ASSIGN_OR_RETURN(const bool is_on, sysctls.IsOn(link, which));
    if (is_on) on.insert(which);
  }
  return on;
}

}  // namespace forkplane::drivers
