#include "controller/manifests/tree_scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

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
    struct stat info {};
    if (::fstat(root_.get(), &info) == 0) scan_.device = info.st_dev;
    pending_.push_back({"", 0});
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
  };

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

  void Note(const struct stat& info) {
    const auto since_epoch =
        std::chrono::seconds(info.st_ctim.tv_sec) + std::chrono::nanoseconds(info.st_ctim.tv_nsec);
    scan_.changed_at = std::max(
        scan_.changed_at, WallTime(std::chrono::duration_cast<WallTime::duration>(since_epoch)));
  }

  void ReadDirectory(const Directory& directory) {
    const std::string path = directory.path.empty() ? "." : directory.path;
    UniqueFd fd = OpenBelow(root_.get(), path, O_RDONLY | O_DIRECTORY);
    struct stat info {};
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0) return AddErrno(directory.path);
    // A link to a directory that was read under another name, or to a parent: once is enough.
    if (!visited_.insert({info.st_dev, info.st_ino}).second) return;
    Note(info);
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
      pending_.push_back({path, directory.depth + 1});
    } else if (is_manifest && S_ISREG(info.st_mode)) {
      Note(info);
      ReadFile(path, fd.get());
    }
  }

  void ReadFile(const std::string& path, int fd) {
    if (scan_.files.size() == kFilesMax) {
      return StopFull(path, fmt::format("more than {} files", kFilesMax));
    }
    ScannedFile file{path, {}};
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
  std::size_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace

TreeScan ScanTree(const std::string& root, TreeWatch* watch) { return Scanner(watch).Run(root); }

}  // namespace forkplane::manifests
