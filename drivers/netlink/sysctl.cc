#include "drivers/netlink/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "controller/base/unique_fd.h"

namespace forkplane::netlink {
namespace {

constexpr const char* kForwarding = "/proc/sys/net/ipv4/ip_forward";
constexpr const char* kBridgedFrames = "/proc/sys/net/bridge/bridge-nf-call-iptables";
constexpr const char* kIpv4Folder = "/proc/sys/net/ipv4/conf";
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

Status WriteSwitch(const std::string& path, char value = '1') {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, path);
  if (write(fd.get(), &value, 1) != 1) return FromErrno(errno, path);
  return OkStatus();
}

// Names of ours contain nothing but lower-case letters and digits, so no path can be smuggled in.
bool IsOurs(const std::string& link) {
  return link.compare(0, 2, "fk") == 0 &&
         link.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string::npos;
}

// The kernel's own entries beside those of links are no links, and no name of one has a slash.
bool IsForeign(const std::string& link) {
  constexpr std::array<std::string_view, 6> kNone = {"", ".", "..", "all", "default", "lo"};
  return !IsOurs(link) && link.find('/') == std::string::npos &&
         std::find(kNone.begin(), kNone.end(), link) == kNone.end();
}

std::string Ipv6Path(const std::string& link) {
  return fmt::format("{}/{}/disable_ipv6", kIpv6Folder, link);
}

std::string Ipv4Path(const std::string& link, drivers::LinkSwitch which) {
  return fmt::format("{}/{}/{}", kIpv4Folder, link, ToString(which));
}

// How long an answer for another waits, at most: 0.8 s where nobody says otherwise (Linux 6.18,
// arp_tbl). Nobody else would answer, so there is nothing to wait for.
std::string ProxyDelayPath(const std::string& link) {
  return fmt::format("/proc/sys/net/ipv4/neigh/{}/proxy_delay", link);
}

bool KernelHasIpv6() { return access(kIpv6Folder, F_OK) == 0; }

}  // namespace

Result<bool> ProcSysctlDriver::BridgedFramesMeetIpRules() {
  auto on = ReadSwitch(kBridgedFrames);
  if (!on.ok() && on.error().code == Code::kNotFound) return false;
  return on;
}

Result<bool> ProcSysctlDriver::Ipv4Forwarding() { return ReadSwitch(kForwarding); }

Result<std::map<std::string, bool>> ProcSysctlDriver::ForeignForwarding() {
  std::map<std::string, bool> links;
  std::error_code error;
  for (std::filesystem::directory_iterator it(kIpv4Folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename();
    if (!IsForeign(name)) continue;
    const auto on = ReadSwitch(Ipv4Path(name, drivers::LinkSwitch::kForwarding));
    if (on.ok()) links.emplace(name, *on);
    // One that went meanwhile is none.
    if (!on.ok() && on.error().code != Code::kNotFound) return on.error();
  }
  if (error) return FromErrno(error.value(), kIpv4Folder);
  return links;
}

Status ProcSysctlDriver::SetForeignForwarding(const std::string& link, bool on) {
  if (!IsForeign(link))
    return Invalid(fmt::format("forwarding of \"{}\": no link of others", link));
  return WriteSwitch(Ipv4Path(link, drivers::LinkSwitch::kForwarding), on ? '1' : '0');
}

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
  if (value != '1' || which != drivers::LinkSwitch::kProxyArp) return value == '1';
  ASSIGN_OR_RETURN(const char delay, ReadValue(ProxyDelayPath(link)));
  return delay == '0';
}

Status ProcSysctlDriver::SwitchOn(const std::string& link, drivers::LinkSwitch which) {
  if (!IsOurs(link)) return Invalid(fmt::format("switch of {}: not a link of ours", link));
  if (which == drivers::LinkSwitch::kProxyArp) {
    RETURN_IF_ERROR(WriteSwitch(ProxyDelayPath(link), '0'));
  }
  return WriteSwitch(Ipv4Path(link, which));
}

}  // namespace forkplane::netlink
