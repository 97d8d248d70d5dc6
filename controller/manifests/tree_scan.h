// Reads every manifest file below a directory, bounded, and never outside of it.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "controller/manifests/tree_watch.h"

namespace forkplane::manifests {

inline constexpr std::size_t kFilesMax = 10'000;
inline constexpr std::size_t kFileBytesMax = std::size_t{3} * 1024 * 1024;
inline constexpr std::size_t kTreeBytesMax = std::size_t{64} * 1024 * 1024;
inline constexpr int kTreeDepthMax = 16;

struct ScannedFile {
  std::string path;  // relative to the root
  std::string text;
  std::string mount = {};  // the folder below the root where its file system is mounted; "": none
};

// Something that keeps us from knowing all that the directory says.
struct ScanProblem {
  std::string path;  // relative; "" is the root
  std::string message;
};

// Which directory the root was. The numbers of file systems without a disk of their own (overlay,
// NFS, btrfs, tmpfs) may be others after a reboot.
struct RootIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;  // 0: it could not be opened, or was never seen
  // ext4 gives the inode of a deleted folder to the next one: the time of birth tells them apart.
  // Nanoseconds since 1970; 0: the file system does not keep it.
  std::int64_t born_ns = 0;
  std::string path = {};  // links resolved
  bool operator==(const RootIdentity&) const = default;
};

struct TreeScan {
  std::vector<ScannedFile> files;  // by path
  std::vector<ScanProblem> problems;
  RootIdentity root;
  // Of every directory's and file's path, inode, size, ctime and text: equal as long as nothing of
  // the tree was changed. Compared with the scan before, it does not depend on the clock of the
  // file system (a server's).
  std::uint64_t fingerprint = 0;
  std::set<std::string> mounts;  // folders below the root where something is mounted
  std::string newest;            // what was changed last, by ctime; "" is the root
  std::string git_busy;          // git_state.h
};

// Files are *.yaml, *.yml and *.json; names that begin with a dot are passed over (.git, and the
// "..data" through which Kubernetes swaps a volume's content). Links are followed as long as they
// stay below the root (openat2 RESOLVE_BENEATH); the root itself may be a link and is resolved
// once, so the whole scan sees one side of a swap. `watch` may be null.
TreeScan ScanTree(const std::string& root, TreeWatch* watch);

}  // namespace forkplane::manifests
