#include "controller/manifests/git_state.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>

namespace forkplane::manifests {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMarks[] = {"index.lock",       "rebase-merge", "rebase-apply", "MERGE_HEAD",
                                  "CHERRY_PICK_HEAD", "REVERT_HEAD",  "BISECT_LOG"};

bool Exists(const fs::path& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// The folder in which git keeps the state of the worktree whose `.git` this is.
std::optional<fs::path> StateFolder(const fs::path& dot_git) {
  struct stat info {};
  if (::stat(dot_git.c_str(), &info) != 0) return std::nullopt;
  if (S_ISDIR(info.st_mode)) return dot_git;
  if (!S_ISREG(info.st_mode)) return std::nullopt;
  constexpr std::string_view kPrefix = "gitdir: ";
  std::string line;
  std::ifstream file(dot_git);
  if (!std::getline(file, line) || !line.starts_with(kPrefix)) return std::nullopt;
  return dot_git.parent_path() / line.substr(kPrefix.size());  // an absolute path stands alone
}

}  // namespace

std::string GitOperationUnderWay(const std::string& directory) {
  for (fs::path at = directory; !at.empty(); at = at.parent_path()) {
    if (const std::optional<fs::path> state = StateFolder(at / ".git")) {
      for (const char* mark : kMarks) {
        if (Exists(*state / mark)) return (*state / mark).lexically_normal().string();
      }
      return {};
    }
    if (at == at.root_path()) return {};
  }
  return {};
}

}  // namespace forkplane::manifests
