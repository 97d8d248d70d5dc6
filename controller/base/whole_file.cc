#include "controller/base/whole_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "controller/base/unique_fd.h"

namespace forkplane {

Result<std::string> ReadAll(int fd, std::size_t bytes_max, std::string_view what) {
  std::string bytes;
  std::array<char, 16384> part;
  while (true) {
    const ssize_t n = ::read(fd, part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno(errno, fmt::format("read {}", what));
    if (n == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(n) > bytes_max) {
      return Internal(fmt::format("read {}: larger than {} bytes", what, bytes_max));
    }
    bytes.append(part.data(), static_cast<std::size_t>(n));
  }
}

Result<std::string> ReadFile(const std::string& path, std::size_t bytes_max) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, "open " + path);
  return ReadAll(fd.get(), bytes_max, path);
}

Status WriteAll(int fd, std::string_view bytes, std::string_view what) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno(errno, fmt::format("write {}", what));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return OkStatus();
}

Status SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::absolute(path).parent_path().string();
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, fmt::format("open {}", folder));
  if (::fsync(fd.get()) != 0) return FromErrno(errno, fmt::format("sync {}", folder));
  return OkStatus();
}

}  // namespace forkplane
