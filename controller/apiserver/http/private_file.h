// Small files that must be whole or absent, and readable by nobody else.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane::apiserver {

// Writes a temporary file of mode 0600 beside `path`, syncs it, renames it over `path` and syncs
// the directory: after a crash `path` holds the old bytes or the new ones.
Status WritePrivateFile(const std::string& path, std::string_view bytes);

// None: there is no such file. At most 1 MiB.
Lookup<std::string> ReadSmallFile(const std::string& path);

// Makes the directory with mode 0700 (its parent must exist); an existing one is tightened to it.
Status MakePrivateDirectory(const std::string& path);

}  // namespace forkplane::apiserver
