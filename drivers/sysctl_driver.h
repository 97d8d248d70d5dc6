// The few kernel switches we need, below /proc/sys/net. They are read and written in the network
// namespace of the calling thread (proc resolves it at each open).
#pragma once

#include <string>

#include "controller/base/result.h"

namespace forkplane::drivers {

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
};

}  // namespace forkplane::drivers
