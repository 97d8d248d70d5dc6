#include "drivers/process/device.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

namespace forkplane::process {
namespace {

constexpr mode_t kOthers = S_IROTH | S_IWOTH;
constexpr mode_t kGroup = S_IRGRP | S_IWGRP;

// The host's name for a number; the number where it has none.
std::string UserName(uid_t uid) {
  std::array<char, 4096> space{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, space.data(), space.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return fmt::format("{}", uid);
}

std::string GroupName(gid_t gid) {
  std::array<char, 4096> space{};
  group entry{};
  group* found = nullptr;
  if (::getgrgid_r(gid, &entry, space.data(), space.size(), &found) == 0 && found != nullptr) {
    return found->gr_name;
  }
  return fmt::format("{}", gid);
}

}  // namespace

std::string DescribeDevice(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return FromErrno(errno, path).message;
  return fmt::format("{} is {:04o} {}:{}", path, info.st_mode & 07777U, UserName(info.st_uid),
                     GroupName(info.st_gid));
}

Result<std::optional<gid_t>> GroupToOpenDevice(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return FromErrno(errno, "device " + path);
  if (!S_ISCHR(info.st_mode)) return Invalid("device " + path + " is no character device");
  if ((info.st_mode & kOthers) == kOthers) return std::optional<gid_t>();
  if (info.st_gid != 0 && (info.st_mode & kGroup) == kGroup) return std::optional(info.st_gid);
  return Unavailable(DescribeDevice(path) +
                     ": no unprivileged process may open it; give it a group of its own and mode "
                     "0660");
}

}  // namespace forkplane::process
