#include "drivers/guest/overlay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "controller/base/whole_file.h"

namespace forkplane::guest {
namespace {

namespace fs = std::filesystem;

// Parents come before their children in the order of paths, as the archive needs them.
Result<std::vector<fs::path>> PathsBelow(const std::string& directory) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::recursive_directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    paths.push_back(at->path());
  }
  if (error) return FromErrno(error.value(), "read overlay " + directory);
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Adds its size to `bytes` first: a file that does not fit is never read.
Status AddRegularFile(const fs::path& path, const std::string& name, std::uint32_t permissions,
                      std::uint64_t& bytes, CpioWriter& archive) {
  std::error_code error;
  bytes += fs::file_size(path, error);
  if (error) return FromErrno(error.value(), "read overlay " + path.string());
  if (bytes > kOverlayBytesMax) {
    return Invalid(
        fmt::format("overlay {}: more than {} MiB with it: an initramfs is unpacked into memory",
                    path.string(), kOverlayBytesMax >> 20U));
  }
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path.string(), kOverlayBytesMax));
  archive.AddFile(name, content, permissions);
  return OkStatus();
}

}  // namespace

Status AddOverlay(const std::string& directory, CpioWriter& archive) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> paths, PathsBelow(directory));
  std::uint64_t bytes = 0;
  for (const fs::path& path : paths) {
    const std::string name = path.lexically_relative(directory).string();
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    const auto permissions = static_cast<std::uint32_t>(status.permissions() & fs::perms::mask);
    if (fs::is_directory(status)) {
      archive.AddDirectory(name, permissions);
    } else if (fs::is_symlink(status)) {
      archive.AddSymlink(name, fs::read_symlink(path, error).string());
    } else if (fs::is_regular_file(status)) {
      RETURN_IF_ERROR(AddRegularFile(path, name, permissions, bytes, archive));
    } else if (!error) {
      return Invalid(fmt::format(
          "overlay {}: neither a directory, nor a regular file, nor a symlink", path.string()));
    }
    if (error) return FromErrno(error.value(), "read overlay " + path.string());
  }
  return OkStatus();
}

}  // namespace forkplane::guest
