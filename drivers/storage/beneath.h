// Paths that cannot leave their root, and small durable-file steps. Internal to storage.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::storage {

// openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS: neither "..", nor a symlink, nor a race
// with a rename can lead outside `root_fd` (openat2(2)).
Result<UniqueFd> OpenBeneath(int root_fd, const std::string& path, std::uint64_t flags,
                             std::uint64_t mode = 0);
Result<UniqueFd> OpenDirectory(const std::string& path);

// A plain file name: not empty, no '/', not "." or "..", at most 255 bytes.
Status CheckName(const std::string& name);

// Removes `name` below `parent_fd` and everything in it. Follows no symlink, crosses no mount,
// gives up past `entries_max`. Absent is success.
Status RemoveTree(int parent_fd, const std::string& name, int entries_max);

// Temporary file beside, fsync, rename over `name`, fsync of the directory. Not `durable`: whole
// for every reader all the same, but a power cut may take it.
Status WriteAtomically(int directory_fd, const std::string& name, std::string_view content,
                       unsigned mode, bool durable = true);

Status SyncFd(int fd, const std::string& what);
// Plain sub-directories, names starting with '.' left out.
Result<std::vector<std::string>> ListDirectories(const std::string& path);

struct FileDigest {
  std::uint64_t size_bytes = 0;
  std::string sha256;
};
Result<FileDigest> DigestFile(int fd);

}  // namespace forkplane::storage
