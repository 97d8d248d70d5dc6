// All of a file, in one call each way, and its folder. Errors carry errno's code and say "read
// PATH", "write WHAT".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane {

// From the descriptor's offset to the end. Internal: more than `bytes_max`; no more than that is
// held in memory. `what` names the file in errors.
Result<std::string> ReadAll(int fd, std::size_t bytes_max, std::string_view what);
// Follows symlinks: for paths that only root can have made.
Result<std::string> ReadFile(const std::string& path, std::size_t bytes_max);
// At the descriptor's offset; not synced.
Status WriteAll(int fd, std::string_view bytes, std::string_view what);
// The folder that has `path`: a file that appeared there survives a power cut only then.
Status SyncFolderOf(const std::string& path);

}  // namespace forkplane
