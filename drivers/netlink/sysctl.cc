#include "drivers/netlink/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "controller/base/unique_fd.h"

namespace forkplane::netlink {
namespace {

constexpr const char* kForwarding = "/proc/sys/net/ipv4/ip_forward";
constexpr const char* kIpv6Folder = "/proc/sys/net/ipv6/conf";

Result<char> ReadValue(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, path);
  char value = 0;
  if (read(fd.get(), &value, 1) != 1) return FromErrno(errno, path);
  return value;
}

Result<bool> ReadSwitch(const std::string& path) {
  ASSIGN_OR_RETURN(const char value, ReadValue(path));
  return value != '0';
}

Status WriteSwitch(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, path);
  if (write(fd.get(), "1", 1) != 1) return FromErrno(errno, path);
  return OkStatus();
}

// Names of ours contain nothing but lower-case letters and digits, so no path can be smuggled in.
bool IsOurs(const std::string& link) {
  return link.compare(0, 2, "fk") == 0 &&
         link.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string::npos;
}

std::string Ipv6Path(const std::string& link) {
  return fmt::format("{}/{}/disable_ipv6", kIpv6Folder, link);
}

std::string Ipv4Path(const std::string& link, drivers::LinkSwitch which) {
  return fmt::format("/proc/sys/net/ipv4/conf/{}/{}", link, ToString(which));
}

bool KernelHasIpv6() { return access(kIpv6Folder, F_OK) == 0; }

}  // namespace

Result<bool> ProcSysctlDriver::Ipv4Forwarding() { return ReadSwitch(kForwarding); }

Status ProcSysctlDriver::EnableIpv4Forwarding() { return WriteSwitch(kForwarding); }

Result<bool> ProcSysctlDriver::Ipv6Disabled(const std::string& link) {
  if (!IsOurs(link)) return Invalid(fmt::format("IPv6 of {}: not a link of ours", link));
  if (!KernelHasIpv6()) return true;
  return ReadSwitch(Ipv6Path(link));
}

Status ProcSysctlDriver::DisableIpv6(const std::string& link) {
  if (!IsOurs(link)) return Invalid(fmt::format("disable IPv6 of {}: not a link of ours", link));
  if (!KernelHasIpv6()) return OkStatus();
  return WriteSwitch(Ipv6Path(link));
}

// rp_filter=2 (loose) is not what was asked for.
Result<bool> ProcSysctlDriver::IsOn(const std::string& link, drivers::LinkSwitch which) {
  if (!IsOurs(link)) return Invalid(fmt::format("switch of {}: not a link of ours", link));
  ASSIGN_OR_RETURN(const char value, ReadValue(Ipv4Path(link, which)));
  return value == '1';
}

Status ProcSysctlDriver::SwitchOn(const std::string& link, drivers::LinkSwitch which) {
  if (!IsOurs(link)) return Invalid(fmt::format("switch of {}: not a link of ours", link));
  return WriteSwitch(Ipv4Path(link, which));
}

}  // namespace forkplane::netlink
