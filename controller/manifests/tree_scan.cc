#include "controller/manifests/tree_scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "controller/manifests/git_state.h"

namespace forkplane::manifests {
namespace {

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using DirectoryPtr = std::unique_ptr<DIR, DirectoryCloser>;

bool IsManifestName(std::string_view name) {
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

// EAGAIN: a rename raced with the walk and the kernel cannot vouch that we stayed below.
UniqueFd OpenBelow(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  constexpr int kTriesMax = 16;
  for (int i = 0; i < kTriesMax; ++i) {
    const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how));
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return {};
}

class Scanner {
 public:
  explicit Scanner(TreeWatch* watch) : watch_(watch) {}

  TreeScan Run(const std::string& root_path) {
    if (watch_ != nullptr) watch_->WatchPath(root_path);
    root_.Reset(::open(root_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root_.valid()) {
      AddErrno("");
      return std::move(scan_);
    }
    Identify();
    pending_.push_back({"", 0, "", MountOf(root_.get())});
    while (!pending_.empty() && !full_) {
      const Directory next = pending_.back();
      pending_.pop_back();
      ReadDirectory(next);
    }
    std::sort(scan_.files.begin(), scan_.files.end(),
              [](const ScannedFile& a, const ScannedFile& b) { return a.path < b.path; });
    return std::move(scan_);
  }

 private:
  struct Directory {
    std::string path;
    int depth = 0;
    std::string mount = {};  // as in ScannedFile
    std::uint64_t mount_id = 0;
  };

  // The kernel's number of the mount that the descriptor was opened through; 0 before Linux 5.8.
  static std::uint64_t MountOf(int fd) {
    struct statx info {};
    const bool known = ::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &info) == 0 &&
                       (info.stx_mask & STATX_MNT_ID) != 0;
    return known ? info.stx_mnt_id : 0;
  }

  void Add(const std::string& path, std::string message) {
    scan_.problems.push_back({path, std::move(message)});
  }
  void AddErrno(const std::string& path) {
    Add(path, errno == EXDEV ? "it leads out of the directory" : std::strerror(errno));
  }

  // The tree is deeper or bigger than we read: a part of it stays unknown.
  void StopFull(const std::string& path, std::string message) {
    Add(path, std::move(message));
    full_ = true;
  }

  void Identify() {
    struct statx info {};
    if (::statx(root_.get(), "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &info) != 0) return;
    scan_.root.device = gnu_dev_makedev(info.stx_dev_major, info.stx_dev_minor);
    scan_.root.inode = info.stx_ino;
    if ((info.stx_mask & STATX_BTIME) != 0) {
      constexpr std::int64_t kNanoseconds = 1'000'000'000;
      scan_.root.born_ns = info.stx_btime.tv_sec * kNanoseconds + info.stx_btime.tv_nsec;
    }
    std::error_code error;
    const auto path =
        std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", root_.get()), error);
    if (!error) scan_.root.path = path.string();
    scan_.git_busy = GitOperationUnderWay(scan_.root.path);
  }

  // A sum, so that the order in which entries are read does not matter.
  void Mix(const std::string& entry) { scan_.fingerprint += std::hash<std::string>{}(entry); }

  void Note(const std::string& path, const struct stat& info) {
    Mix(fmt::format("{}:{}:{}:{}:{}", path, info.st_ino, info.st_size, info.st_ctim.tv_sec,
                    info.st_ctim.tv_nsec));
    const auto changed = std::pair(info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
    if (changed < changed_) return;
    changed_ = changed;
    scan_.newest = path;
  }

  void ReadDirectory(const Directory& directory) {
    const std::string path = directory.path.empty() ? "." : directory.path;
    UniqueFd fd = OpenBelow(root_.get(), path, O_RDONLY | O_DIRECTORY);
    struct stat info {};
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0) return AddErrno(directory.path);
    // A link to a directory that was read under another name, or to a parent: once is enough.
    if (!visited_.insert({info.st_dev, info.st_ino}).second) return;
    Note(directory.path, info);
    // Without a watch (their number is limited) the resync timer finds changes.
    if (watch_ != nullptr) (void)watch_->WatchDirectory(fd.get()).ok();
    const DirectoryPtr stream(::fdopendir(fd.get()));
    if (!stream) return AddErrno(directory.path);
    fd.Release();  // the stream owns it now
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(stream.get());
      if (entry == nullptr) break;
      if (entry->d_name[0] != '.' && !full_) ReadEntry(directory, *entry);
    }
    if (errno != 0) AddErrno(directory.path);
  }

  void ReadEntry(const Directory& directory, const dirent& entry) {
    const std::string path =
        directory.path.empty() ? entry.d_name : directory.path + "/" + entry.d_name;
    const bool is_manifest = IsManifestName(entry.d_name);
    if (entry.d_type == DT_REG && !is_manifest) return;
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    const UniqueFd fd = OpenBelow(
        root_.get(), path, is_manifest ? O_RDONLY | O_NONBLOCK : static_cast<unsigned>(O_PATH));
    struct stat info {};
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
      // A broken link that names no manifest says nothing.
      if (is_manifest || errno != ENOENT) AddErrno(path);
      return;
    }
    if (S_ISDIR(info.st_mode)) {
      if (directory.depth + 1 > kTreeDepthMax) {
        return StopFull(path, fmt::format("more than {} directories deep", kTreeDepthMax));
      }
      Directory below{path, directory.depth + 1, directory.mount, MountOf(fd.get())};
      if (below.mount_id != directory.mount_id) {
        below.mount = path;
        scan_.mounts.insert(path);
      }
      pending_.push_back(std::move(below));
    } else if (is_manifest && S_ISREG(info.st_mode)) {
      Note(path, info);
      ReadFile(directory, path, fd.get());
    }
  }

  void ReadFile(const Directory& directory, const std::string& path, int fd) {
    if (scan_.files.size() == kFilesMax) {
      return StopFull(path, fmt::format("more than {} files", kFilesMax));
    }
    ScannedFile file{path, {}, directory.mount};
    std::array<char, std::size_t{64} * 1024> part;
    for (;;) {
      const ssize_t n = ::read(fd, part.data(), part.size());
      if (n == 0) break;
      if (n < 0 && errno != EINTR) return AddErrno(path);
      if (n > 0) file.text.append(part.data(), static_cast<std::size_t>(n));
      if (file.text.size() > kFileBytesMax) {
        return Add(path, fmt::format("larger than {} bytes", kFileBytesMax));
      }
    }
    Mix(path + ":" + file.text);
    bytes_ += file.text.size();
    if (bytes_ > kTreeBytesMax) {
      return StopFull(path, fmt::format("more than {} bytes in all files", kTreeBytesMax));
    }
    scan_.files.push_back(std::move(file));
  }

  TreeWatch* watch_;
  UniqueFd root_;
  TreeScan scan_;
  std::vector<Directory> pending_;
  std::set<std::pair<dev_t, ino_t>> visited_;
  std::pair<time_t, long> changed_{};  // of scan_.newest
  std::size_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace

TreeScan ScanTree(const std::string& root, TreeWatch* watch) { return Scanner(watch).Run(root); }

}  // namespace forkplane::manifests
