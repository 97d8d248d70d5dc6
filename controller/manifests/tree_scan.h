// Reads every manifest file below a directory, bounded, and never outside of it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/manifests/tree_watch.h"

namespace forkplane::manifests {

inline constexpr std::size_t kFilesMax = 10'000;
inline constexpr std::size_t kFileBytesMax = std::size_t{3} * 1024 * 1024;
inline constexpr std::size_t kTreeBytesMax = std::size_t{64} * 1024 * 1024;
inline constexpr int kTreeDepthMax = 16;

struct ScannedFile {
  std::string path;  // relative to the root
  std::string text;
};

// Something that keeps us from knowing all that the directory says.
struct ScanProblem {
  std::string path;  // relative; "" is the root
  std::string message;
};

struct TreeScan {
  std::vector<ScannedFile> files;  // by path
  std::vector<ScanProblem> problems;
  std::uint64_t device = 0;  // the file system the root is on
  // The last time a file or directory of the tree was changed (ctime): one that is being written
  // right now may be read half.
  WallTime changed_at{};
};

// Files are *.yaml, *.yml and *.json; names that begin with a dot are passed over (.git, and the
// "..data" through which Kubernetes swaps a volume's content). Links are followed as long as they
// stay below the root (openat2 RESOLVE_BENEATH); the root itself may be a link and is resolved
// once, so the whole scan sees one side of a swap. `watch` may be null.
TreeScan ScanTree(const std::string& root, TreeWatch* watch);

}  // namespace forkplane::manifests
