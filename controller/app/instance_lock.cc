#include "controller/app/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>

namespace forkplane::app {

Result<InstanceLock> InstanceLock::Take(const std::string& state_dir) {
  std::error_code error;
  std::filesystem::create_directories(state_dir, error);
  if (error) return FromErrno(error.value(), fmt::format("create --state-dir {}", state_dir));
  // Keys and guests' memory lie below it.
  if (::chmod(state_dir.c_str(), 0700) != 0) return FromErrno(errno, "chmod " + state_dir);

  const std::string path = state_dir + "/lock";
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return FromErrno(errno, "open " + path);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FromErrno(errno, "lock " + path);
    std::array<char, 32> holder{};
    const ssize_t length = ::pread(file.get(), holder.data(), holder.size() - 1, 0);
    return Conflict(fmt::format(
        "{} is in use by another forkplane (pid {}): stop it or use another --state-dir", state_dir,
        length > 0 ? holder.data() : "unknown"));
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(file.get(), 0) != 0 ||
      ::pwrite(file.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return FromErrno(errno, "write " + path);
  }
  return InstanceLock(std::move(file));
}

}  // namespace forkplane::app
