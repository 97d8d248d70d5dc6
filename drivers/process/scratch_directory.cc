#include "drivers/process/scratch_directory.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace forkplane::process {

Result<ScratchDirectory> ScratchDirectory::Make() {
  std::error_code error;
  const std::filesystem::path below = std::filesystem::temp_directory_path(error);
  if (error) return FromErrno(error.value(), "find the temporary directory");
  std::string path = (below / "forkplane-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) return FromErrno(errno, "make " + path);
  return ScratchDirectory(std::move(path));
}

ScratchDirectory::~ScratchDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace forkplane::process
