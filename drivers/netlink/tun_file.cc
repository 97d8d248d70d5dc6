#include "drivers/netlink/tun_file.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "controller/base/network_names.h"

namespace forkplane::netlink {
namespace {

constexpr const char* kTunPath = "/dev/net/tun";

// The device behind a descriptor of another process as its fdinfo tells; nullopt: not a tun file.
std::optional<std::string> TunNameIn(const std::filesystem::path& fdinfo) {
  std::ifstream file(fdinfo);
  constexpr std::string_view kKey = "iff:\t";
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, kKey.size(), kKey) == 0) return line.substr(kKey.size());
  }
  return std::nullopt;
}

Result<UniqueFd> TakeFd(pid_t pid, int fd) {
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
  if (!process.valid()) return FromErrno(errno, fmt::format("open process {}", pid));
  UniqueFd copy(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0U)));
  if (!copy.valid()) return FromErrno(errno, fmt::format("take fd {} of process {}", fd, pid));
  return copy;
}

// Descriptors may be the same open file several times (a VMM may dup it): those are one.
bool IsSameFile(pid_t pid, int a, int b) {
  constexpr int kCompareFiles = 0;  // KCMP_FILE
  return syscall(SYS_kcmp, pid, pid, kCompareFiles, a, b) == 0;
}

// By the file itself, which needs no look-up of the link.
Status SetTapMac(int fd, const std::string& name, const MacAddress& mac) {
  ifreq request = {};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(request.ifr_hwaddr.sa_data, mac.bytes.data(), mac.bytes.size());
  if (ioctl(fd, SIOCSIFHWADDR, &request) == 0) return OkStatus();
  return FromErrno(errno, fmt::format("set MAC of {}", name));
}

}  // namespace

Result<UniqueFd> OpenTun() {
  UniqueFd fd(open(kTunPath, O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return FromErrno(errno, kTunPath);
  return fd;
}

Status AttachTap(int fd, const drivers::TapSpec& spec) {
  const std::string name = TapName(spec.number);
  const unsigned index = TapIndex(spec.number);
  if (ioctl(fd, TUNSETIFINDEX, &index) != 0) {
    Error error = FromErrno(errno, fmt::format("set index of {}", name));
    if (error.sys_errno == EPERM) error.code = Code::kExists;  // the file is attached already
    return error;
  }
  ifreq request = {};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  // EXCL: never attach to a device that is already there.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    Error error = FromErrno(errno, fmt::format("create {}", name));
    // EBUSY: the index or a tun device of that name; EINVAL: another link of that name, or this
    // file is attached already.
    if (error.sys_errno == EBUSY || error.sys_errno == EINVAL) error.code = Code::kExists;
    return error;
  }
  RETURN_IF_ERROR(SetTapMac(fd, name, drivers::TapMac(spec.number)));
  const int header = static_cast<int>(spec.vnet_header_bytes);
  const int send_buffer = static_cast<int>(spec.send_buffer_bytes);
  if (ioctl(fd, TUNSETVNETHDRSZ, &header) != 0 ||
      ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(spec.offloads)) != 0 ||
      ioctl(fd, TUNSETSNDBUF, &send_buffer) != 0) {
    return FromErrno(errno, fmt::format("set vnet header, offloads or send buffer of {}", name));
  }
  return OkStatus();
}

Result<std::string> AttachedTo(int fd) {
  ifreq request = {};
  if (ioctl(fd, TUNGETIFF, &request) == 0) return std::string(request.ifr_name);
  if (errno == EBADFD) return std::string();
  return FromErrno(errno, "get the device of a tun file");
}

Result<UniqueFd> FindTunFile(pid_t pid, const std::string& name) {
  const std::filesystem::path folder = fmt::format("/proc/{}/fdinfo", pid);
  std::error_code error;
  std::vector<int> found;
  std::filesystem::directory_iterator files(folder, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    const std::string text = files->path().filename();
    int fd = -1;
    std::from_chars(text.data(), text.data() + text.size(), fd);
    if (TunNameIn(files->path()) != name) continue;
    if (found.empty() || !IsSameFile(pid, found.front(), fd)) found.push_back(fd);
  }
  if (error) return FromErrno(error.value(), folder.string());
  const std::string what =
      fmt::format("process {}: tun file {}", pid, name.empty() ? "without a device" : "of " + name);
  if (found.empty()) return NotFound(what + ": none");
  if (found.size() > 1) return Conflict(fmt::format("{}: there are {}", what, found.size()));
  return TakeFd(pid, found.front());
}

}  // namespace forkplane::netlink
