#include "controller/apiserver/http/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "controller/base/unique_fd.h"

namespace forkplane::apiserver {
namespace {

constexpr std::size_t kSmallFileBytesMax = std::size_t{1024} * 1024;

Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR) return FromErrno(errno, "write " + path);
    if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fsync(fd) != 0) return FromErrno(errno, "sync " + path);
  return OkStatus();
}

}  // namespace

Status WritePrivateFile(const std::string& path, std::string_view bytes) {
  // A fixed name: what a crash left is overwritten by the next try. The directory is ours.
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());  // it may have another mode, or be a link
  const UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return FromErrno(errno, "create " + temporary);
  RETURN_IF_ERROR(WriteAll(fd.get(), bytes, temporary));
  if (::rename(temporary.c_str(), path.c_str()) != 0) return FromErrno(errno, "rename to " + path);
  std::string parent = std::filesystem::path(path).parent_path().string();
  if (parent.empty()) parent = ".";
  const UniqueFd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) {
    return FromErrno(errno, "sync " + parent);
  }
  return OkStatus();
}

Lookup<std::string> ReadSmallFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return std::optional<std::string>{};
    return FromErrno(errno, "open " + path);
  }
  std::string bytes;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t n = ::read(fd.get(), part.data(), part.size());
    if (n == 0) return std::optional(std::move(bytes));
    if (n < 0 && errno != EINTR) return FromErrno(errno, "read " + path);
    if (n > 0) bytes.append(part.data(), static_cast<std::size_t>(n));
    if (bytes.size() > kSmallFileBytesMax) return Invalid("read " + path + ": larger than 1 MiB");
  }
}

Status MakePrivateDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return OkStatus();
  if (errno != EEXIST) return FromErrno(errno, "make directory " + path);
  if (::chmod(path.c_str(), 0700) != 0) return FromErrno(errno, "chmod " + path);
  return OkStatus();
}

}  // namespace forkplane::apiserver
