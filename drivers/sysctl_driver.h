// The few kernel switches we need, below /proc/sys/net. They are read and written in the network
// namespace of the calling thread (proc resolves it at each open).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "controller/base/result.h"

namespace forkplane::drivers {

// Of IPv4, of one link (net.ipv4.conf.<link>.*).
enum class LinkSwitch : std::uint8_t {
  kForwarding,         // forwarding: what comes in by it may leave by another link
  kReversePathFilter,  // rp_filter=1: what comes in by it must have a source that it leads to
  kMarkedSource,       // src_valid_mark: the way back is looked for with the packet's mark
  // proxy_arp: whoever asks for an address that another link leads to is given this host's MAC, at
  // once (neigh.<link>.proxy_delay=0).
  kProxyArp,
};
// Of a link that guests reach the host by.
inline constexpr std::array<LinkSwitch, 4> kGuestLinkSwitches = {
    LinkSwitch::kForwarding, LinkSwitch::kReversePathFilter, LinkSwitch::kMarkedSource,
    LinkSwitch::kProxyArp};

// Those that it has to have. `isolated`: guests may not reach one another. Where they may, they ask
// for addresses of their net by ARP, and nobody else would answer for a guest on another link.
inline std::set<LinkSwitch> WantedSwitches(bool isolated) {
  std::set<LinkSwitch> wanted(kGuestLinkSwitches.begin(), kGuestLinkSwitches.end());
  if (isolated) wanted.erase(LinkSwitch::kProxyArp);
  return wanted;
}

constexpr const char* ToString(LinkSwitch which) {
  switch (which) {
    case LinkSwitch::kForwarding:
      return "forwarding";
    case LinkSwitch::kReversePathFilter:
      return "rp_filter";
    case LinkSwitch::kMarkedSource:
      return "src_valid_mark";
    case LinkSwitch::kProxyArp:
      break;
  }
  return "proxy_arp";
}

class SysctlDriver {
 public:
  virtual ~SysctlDriver() = default;

  // net.bridge.bridge-nf-call-iptables: frames between the ports of any bridge go through
  // everybody's IP rules. Of the network namespace, and on in a new one (Linux 6.18). False where
  // br_netfilter is not loaded.
  virtual Result<bool> BridgedFramesMeetIpRules() = 0;

  // net.ipv4.ip_forward: this host is a router between all of its links. Whoever writes it sets
  // forwarding of every link to the same.
  virtual Result<bool> Ipv4Forwarding() = 0;
  // Of every link that is not ours, but the loopback: whether what comes in by it is forwarded.
  virtual Result<std::map<std::string, bool>> ForeignForwarding() = 0;
  // Of one of those. Invalid: a link of ours, or no name of a link. NotFound: no such link.
  virtual Status SetForeignForwarding(const std::string& link, bool on) = 0;

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
