// SysctlDriver over /proc/sys.
#pragma once

#include <string>

#include "drivers/sysctl_driver.h"

namespace forkplane::netlink {

class ProcSysctlDriver final : public drivers::SysctlDriver {
 public:
  Result<bool> BridgedFramesMeetIpRules() override;
  Result<bool> Ipv4Forwarding() override;
  Result<std::map<std::string, bool>> ForeignForwarding() override;
  Status SetForeignForwarding(const std::string& link, bool on) override;
  Result<bool> Ipv6Disabled(const std::string& link) override;
  Status DisableIpv6(const std::string& link) override;
  Result<bool> IsOn(const std::string& link, drivers::LinkSwitch which) override;
  Status SwitchOn(const std::string& link, drivers::LinkSwitch which) override;
};

}  // namespace forkplane::netlink
