#include "drivers/process/cgroup.h"
#include "controller/base/whole_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <sstream>

namespace forkplane::process {
namespace {

Result<std::string> FindCgroup2Mount() {
  ASSIGN_OR_RETURN(const std::string mounts, ReadKernelFile("/proc/self/mountinfo"));
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    // "38 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw": the fifth field is the mount
    // point, the type follows the lone dash.
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos || line.compare(dash + 3, 8, "cgroup2 ") != 0) continue;
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 5; ++i) fields >> field;
    return field;
  }
  return Unavailable(
      "no cgroup v2 tree is mounted: mount one (mount -t cgroup2 none /sys/fs/cgroup/unified) or "
      "boot with systemd.unified_cgroup_hierarchy=1");
}

// cgroup.events: "populated 0\nfrozen 0\n".
bool IsPopulated(const std::string& events) {
  return events.find("populated 1") != std::string::npos;
}

// /proc/self/mountinfo is the largest; 100 000 mounts make about 15 MiB.
constexpr std::size_t kKernelFileBytesMax = std::size_t{64} << 20U;

}  // namespace

Result<std::string> ReadKernelFile(const std::string& path) {
  return ReadFile(path, kKernelFileBytesMax);
}

Result<CgroupFolder> CgroupFolder::Open(const std::string& parent) {
  ASSIGN_OR_RETURN(const std::string mount, FindCgroup2Mount());
  std::string path = mount + "/" + parent;
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    const int error = errno;
    return Unavailable(FromErrno(error, "make cgroup " + path).message +
                       ": run as root, or have this folder delegated (systemd: Delegate=yes)");
  }
  return OpenAt(std::move(path));
}

Result<CgroupFolder> CgroupFolder::OpenAt(std::string path) {
  ASSIGN_OR_RETURN(const Controllers controllers, HandOnControllers(path));
  return CgroupFolder(std::move(path), controllers);
}

Status CgroupFolder::Create(const std::string& name, const Bounds& bounds) {
  if (::mkdir(PathOf(name).c_str(), 0755) != 0 && errno != EEXIST) {
    return FromErrno(errno, "make cgroup " + PathOf(name));
  }
  return WriteBounds(PathOf(name), bounds, controllers_);
}

Result<UniqueFd> CgroupFolder::OpenDirectory(const std::string& name) const {
  UniqueFd fd(::open(PathOf(name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, "open cgroup " + PathOf(name));
  return fd;
}

Lookup<std::vector<pid_t>> CgroupFolder::Processes(const std::string& name) const {
  auto text = ReadKernelFile(PathOf(name) + "/cgroup.procs");
  if (!text.ok()) {
    // ENODEV: the cgroup was removed between open and read.
    if (text.error().code == Code::kNotFound) return std::optional<std::vector<pid_t>>();
    return std::move(text).error();
  }
  std::vector<pid_t> pids;
  std::istringstream numbers(*text);
  for (pid_t pid = 0; numbers >> pid;) {
    // 0 is a process of a pid namespace we cannot see into; it still counts as one.
    pids.push_back(pid);
  }
  return std::optional(std::move(pids));
}

Status CgroupFolder::SignalAll(const std::string& name) const {
  const std::string kill_file = PathOf(name) + "/cgroup.kill";
  const UniqueFd fd(::open(kill_file.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.valid()) {
    if (::write(fd.get(), "1", 1) == 1 || errno == ENODEV) return OkStatus();
    return FromErrno(errno, "write " + kill_file);
  }
  // Linux before 5.14. The caller's loop comes back for what was born meanwhile.
  ASSIGN_OR_RETURN(const auto pids, Processes(name));
  for (const pid_t pid : pids.value_or(std::vector<pid_t>())) {
    if (pid > 0) ::kill(pid, SIGKILL);
  }
  return OkStatus();
}

Status CgroupFolder::KillAndRemove(const std::string& name, std::chrono::milliseconds patience) {
  const std::string path = PathOf(name);
  const UniqueFd events(::open((path + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  if (!events.valid()) {
    return errno == ENOENT ? OkStatus() : Status(FromErrno(errno, "open cgroup " + path));
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    RETURN_IF_ERROR(SignalAll(name));
    std::array<char, 256> buffer{};
    const ssize_t n = ::pread(events.get(), buffer.data(), buffer.size() - 1, 0);
    if (n < 0 && errno == ENODEV) return OkStatus();
    if (n >= 0 && !IsPopulated(buffer.data())) {
      if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return OkStatus();
      // EBUSY: a process that is just going still holds it; one more round.
      if (errno != EBUSY) return FromErrno(errno, "remove cgroup " + path);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Unavailable("cgroup " + path + " still holds processes");
    // The kernel signals a change of cgroup.events with POLLPRI; the cap covers the EBUSY round.
    pollfd changed{events.get(), POLLPRI, 0};
    ::poll(&changed, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 20)));
  }
}

Result<std::vector<std::string>> CgroupFolder::List() const {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path_.c_str()), ::closedir);
  if (!dir) return FromErrno(errno, "list cgroup " + path_);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

Status CgroupFolder::RemoveFolder() {
  if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return OkStatus();
  return FromErrno(errno, "remove cgroup " + path_);
}

}  // namespace forkplane::process
