#include "drivers/storage/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "controller/base/whole_file.h"

namespace forkplane::storage {
namespace {

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

constexpr int kDepthMax = 64;

bool IsDots(const char* name) {
  return std::string_view(name) == "." || std::string_view(name) == "..";
}

// Depth is bounded, so the recursion is.
// NOLINTNEXTLINE(misc-no-recursion)
Status RemoveContents(int fd, dev_t device, int depth, int* entries_left) {
  if (depth > kDepthMax) return Internal("directory tree is too deep to remove");
  const Directory dir(::fdopendir(::dup(fd)), ::closedir);
  if (!dir) return FromErrno(errno, "list a directory");
  while (const dirent* entry = ::readdir(dir.get())) {
    if (IsDots(entry->d_name)) continue;
    if (--*entries_left < 0) return Internal("too many entries to remove");
    if (::unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) {
      return FromErrno(errno, std::string("remove ") + entry->d_name);
    }
    const UniqueFd child(
        ::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) return FromErrno(errno, std::string("open ") + entry->d_name);
    struct stat info {};
    if (::fstat(child.get(), &info) != 0) return FromErrno(errno, "stat");
    if (info.st_dev != device) {
      return Conflict(std::string("a file system is mounted on ") + entry->d_name);
    }
    RETURN_IF_ERROR(RemoveContents(child.get(), device, depth + 1, entries_left));
    if (::unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return FromErrno(errno, std::string("remove ") + entry->d_name);
    }
  }
  return OkStatus();
}

}  // namespace

Result<UniqueFd> OpenBeneath(int root_fd, const std::string& path, std::uint64_t flags,
                             std::uint64_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: a rename raced with "..": the kernel asks to try again.
  for (int attempt = 0; attempt < 8; ++attempt) {
    const long fd = ::syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  if (errno == EXDEV || errno == ELOOP) {
    return Invalid("path '" + path + "' leaves its root");
  }
  return FromErrno(errno, "open '" + path + "'");
}

Result<UniqueFd> OpenDirectory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, "open directory " + path);
  return fd;
}

Status CheckName(const std::string& name) {
  if (name.empty() || name.size() > 255 || name == "." || name == ".." ||
      name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
    return Invalid("not a plain file name: '" + name + "'");
  }
  return OkStatus();
}

Status RemoveTree(int parent_fd, const std::string& name, int entries_max) {
  RETURN_IF_ERROR(CheckName(name));
  const UniqueFd fd(
      ::openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) {
    return errno == ENOENT ? OkStatus() : Status(FromErrno(errno, "open " + name));
  }
  struct stat info {};
  struct stat parent {};
  if (::fstat(fd.get(), &info) != 0 || ::fstat(parent_fd, &parent) != 0) {
    return FromErrno(errno, "stat " + name);
  }
  if (info.st_dev != parent.st_dev) return Conflict("a file system is mounted on " + name);
  int left = entries_max;
  RETURN_IF_ERROR(RemoveContents(fd.get(), info.st_dev, 0, &left));
  if (::unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return FromErrno(errno, "remove " + name);
  }
  return SyncFd(parent_fd, "the directory of " + name);
}

Status WriteAtomically(int directory_fd, const std::string& name, std::string_view content,
                       unsigned mode, bool durable) {
  RETURN_IF_ERROR(CheckName(name));
  const std::string temporary = ".tmp-" + name;
  ::unlinkat(directory_fd, temporary.c_str(), 0);
  const UniqueFd fd(::openat(directory_fd, temporary.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd.valid()) return FromErrno(errno, "make " + temporary);
  RETURN_IF_ERROR(WriteAll(fd.get(), content, temporary));
  if (durable) RETURN_IF_ERROR(SyncFd(fd.get(), name));
  if (::renameat(directory_fd, temporary.c_str(), directory_fd, name.c_str()) != 0) {
    return FromErrno(errno, "rename " + temporary);
  }
  return durable ? SyncFd(directory_fd, "the directory of " + name) : OkStatus();
}

Status SyncFd(int fd, const std::string& what) {
  if (::fsync(fd) == 0) return OkStatus();
  return FromErrno(errno, "sync " + what);
}

Result<std::vector<std::string>> ListDirectories(const std::string& path) {
  const Directory dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return FromErrno(errno, "list " + path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    struct stat info {};
    if (::fstatat(::dirfd(dir.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(info.st_mode)) {
      names.emplace_back(entry->d_name);
    }
  }
  return names;
}

Result<FileDigest> DigestFile(int fd) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(::EVP_MD_CTX_new(),
                                                                   ::EVP_MD_CTX_free);
  if (!context || ::EVP_DigestInit_ex(context.get(), ::EVP_sha256(), nullptr) != 1) {
    return Internal("SHA-256 is not available");
  }
  FileDigest digest;
  std::vector<unsigned char> buffer(1U << 18U);
  while (true) {
    const ssize_t n =
        ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(digest.size_bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno(errno, "read for a digest");
    if (n == 0) break;
    digest.size_bytes += static_cast<std::uint64_t>(n);
    ::EVP_DigestUpdate(context.get(), buffer.data(), static_cast<std::size_t>(n));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned length = 0;
  ::EVP_DigestFinal_ex(context.get(), sum.data(), &length);
  for (unsigned i = 0; i < length; ++i) digest.sha256 += fmt::format("{:02x}", sum.at(i));
  return digest;
}

}  // namespace forkplane::storage
