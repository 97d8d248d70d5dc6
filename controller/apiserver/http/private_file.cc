#include "controller/apiserver/http/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "controller/base/unique_fd.h"
#include "controller/base/whole_file.h"

namespace forkplane::apiserver {
namespace {

constexpr std::size_t kSmallFileBytesMax = std::size_t{1024} * 1024;

}  // namespace

Status WritePrivateFile(const std::string& path, std::string_view bytes) {
  // A fixed name: what a crash left is overwritten by the next try. The directory is ours.
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());  // it may have another mode, or be a link
  const UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return FromErrno(errno, "create " + temporary);
  RETURN_IF_ERROR(WriteAll(fd.get(), bytes, temporary));
  if (::fsync(fd.get()) != 0) return FromErrno(errno, "sync " + temporary);
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
  ASSIGN_OR_RETURN(std::string bytes, ReadAll(fd.get(), kSmallFileBytesMax, path));
  return std::optional(std::move(bytes));
}

Status MakePrivateDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return OkStatus();
  if (errno != EEXIST) return FromErrno(errno, "make directory " + path);
  if (::chmod(path.c_str(), 0700) != 0) return FromErrno(errno, "chmod " + path);
  return OkStatus();
}

}  // namespace forkplane::apiserver
