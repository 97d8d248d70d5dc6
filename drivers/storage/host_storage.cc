#include "drivers/storage/host_storage.h"
#include "controller/base/whole_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "drivers/storage/beneath.h"
#include "drivers/storage/manifest.h"
#include "drivers/template_holder.h"

namespace forkplane::storage {
namespace {

constexpr int kEntriesMax = 100'000;
constexpr std::size_t kManifestBytesMax = 1U << 20U;
constexpr char kManifestName[] = "manifest.json";
constexpr char kStagePrefix[] = ".tmp-";

Result<UniqueFd> MakeDirectory(const std::string& path, unsigned mode) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return FromErrno(error.value(), "make " + path);
  if (::chmod(path.c_str(), mode) != 0) return FromErrno(errno, "chmod " + path);
  return OpenDirectory(path);
}

// What a crash left. Only names of ours; a failure here is not fatal, the space stays used.
void RemoveLeftovers(const std::string& path, int fd) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kStagePrefix)) static_cast<void>(RemoveTree(fd, name, kEntriesMax).ok());
  }
}

Result<std::vector<SnapshotFile>> SealStage(int stage_fd, const std::string& directory) {
  std::vector<SnapshotFile> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenBeneath(stage_fd, name, O_RDONLY | O_NOFOLLOW));
    if (::fchmod(fd.get(), 0444) != 0) return FromErrno(errno, "chmod " + name);
    RETURN_IF_ERROR(SyncFd(fd.get(), name));
    ASSIGN_OR_RETURN(FileDigest digest, DigestFile(fd.get()));
    files.push_back({name, digest.size_bytes, std::move(digest.sha256)});
  }
  if (error) return FromErrno(error.value(), "list " + directory);
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

}  // namespace

Result<std::unique_ptr<HostStorage>> HostStorage::Open(HostStorageOptions options) {
  if (options.state_dir.empty() || options.state_dir[0] != '/') {
    return Invalid("the state directory must be an absolute path");
  }
  const std::string vms_path = options.state_dir + "/vms";
  const std::string snapshots_path = options.state_dir + "/snapshots";
  ASSIGN_OR_RETURN(UniqueFd vms, MakeDirectory(vms_path, 0755));
  ASSIGN_OR_RETURN(UniqueFd snapshots, MakeDirectory(snapshots_path, 0755));
  RemoveLeftovers(vms_path, vms.get());
  RemoveLeftovers(snapshots_path, snapshots.get());
  return std::unique_ptr<HostStorage>(
      new HostStorage(std::move(options), std::move(vms), std::move(snapshots)));
}

std::string HostStorage::VmDirectory(const std::string& uid) const {
  return options_.state_dir + "/vms/" + uid;
}

std::string HostStorage::SnapshotDirectory(const std::string& uid) const {
  return options_.state_dir + "/snapshots/" + uid;
}

Result<UniqueFd> HostStorage::OpenVm(const std::string& uid) const {
  RETURN_IF_ERROR(CheckName(uid));
  return OpenBeneath(vms_.get(), uid, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Status HostStorage::CreateVmDirectory(const std::string& uid, gid_t group) {
  RETURN_IF_ERROR(CheckName(uid));
  if (::mkdirat(vms_.get(), uid.c_str(), 0750) != 0 && errno != EEXIST) {
    return FromErrno(errno, "make the directory of VM " + uid);
  }
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenVm(uid));
  if (::fchown(fd.get(), static_cast<uid_t>(-1), group) != 0 || ::fchmod(fd.get(), 0750) != 0) {
    return FromErrno(errno, "give the directory of VM " + uid + " to its group");
  }
  return SyncFd(vms_.get(), "the VM directories");
}

Status HostStorage::RemoveVmDirectory(const std::string& uid) {
  return RemoveTree(vms_.get(), uid, kEntriesMax);
}

Result<std::vector<std::string>> HostStorage::ListVmDirectories() {
  return ListDirectories(options_.state_dir + "/vms");
}

Status HostStorage::WriteVmFile(const std::string& uid, const std::string& name,
                                std::string_view content) {
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenVm(uid));
  return WriteAtomically(directory.get(), name, content, 0600);
}

Lookup<std::string> HostStorage::ReadVmFileTail(const std::string& uid, const std::string& name,
                                                std::size_t bytes_max) {
  RETURN_IF_ERROR(CheckName(name));
  auto directory = OpenVm(uid);
  if (!directory.ok() && directory.error().code == Code::kNotFound) {
    return std::optional<std::string>();
  }
  if (!directory.ok()) return std::move(directory).error();
  // O_NONBLOCK: a FIFO in the place of a file must not hold us.
  auto fd = OpenBeneath(directory->get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd.ok() && fd.error().code == Code::kNotFound) return std::optional<std::string>();
  if (!fd.ok()) return std::move(fd).error();
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return FromErrno(errno, "stat " + name);
  if (!S_ISREG(info.st_mode)) return Invalid(name + " of VM " + uid + " is not a regular file");
  const auto size = static_cast<std::size_t>(info.st_size);
  const std::size_t start = size > bytes_max ? size - bytes_max : 0;
  std::string text(size - start, '\0');
  const ssize_t n = ::pread(fd->get(), text.data(), text.size(), static_cast<off_t>(start));
  if (n < 0) return FromErrno(errno, "read " + name);
  text.resize(static_cast<std::size_t>(n));
  return std::optional(std::move(text));
}

Result<UniqueFd> HostStorage::OpenImage(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd image, FindImage(path));
  struct stat info {};
  if (::fstat(image.get(), &info) != 0) return FromErrno(errno, "stat image " + path);
  if ((info.st_mode & S_IROTH) != 0) return image;
  return Invalid(fmt::format("image '{}' is {:04o}: a VMM's user cannot read it: chmod o+r", path,
                             info.st_mode & 07777U));
}

Result<UniqueFd> HostStorage::FindImage(const std::string& path) const {
  if (path.empty() || path[0] == '/') {
    return Invalid("image path '" + path + "' must be relative to an image root");
  }
  for (const std::string& root_path : options_.image_roots) {
    auto root = OpenDirectory(root_path);
    if (!root.ok()) continue;
    auto fd = OpenBeneath(root->get(), path, O_RDONLY | O_NONBLOCK);
    if (!fd.ok()) {
      if (fd.error().code == Code::kNotFound) continue;
      return std::move(fd).error().WithContext("image in " + root_path);
    }
    struct stat info {};
    if (::fstat(fd->get(), &info) != 0) return FromErrno(errno, "stat image " + path);
    if (!S_ISREG(info.st_mode)) return Invalid("image '" + path + "' is not a regular file");
    return fd;
  }
  return NotFound("image '" + path + "' is in none of the image roots");
}

Status HostStorage::CopyImageToVm(const std::string& image, const std::string& uid,
                                  const std::string& name, uid_t user, gid_t group) {
  RETURN_IF_ERROR(CheckName(name));
  ASSIGN_OR_RETURN(const UniqueFd source, FindImage(image));
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenVm(uid));
  if (::faccessat(directory.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
    return OkStatus();
  }
  const std::string temporary = kStagePrefix + name;
  ::unlinkat(directory.get(), temporary.c_str(), 0);
  const UniqueFd copy(::openat(directory.get(), temporary.c_str(),
                               O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!copy.valid()) return FromErrno(errno, "make disk " + name);
  if (::ioctl(copy.get(), FICLONE, source.get()) != 0) {
    RETURN_IF_ERROR(CopySparse(source.get(), copy.get()));
  }
  if (::fchown(copy.get(), user, group) != 0) return FromErrno(errno, "chown disk " + name);
  RETURN_IF_ERROR(SyncFd(copy.get(), name));
  if (::renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()) != 0) {
    return FromErrno(errno, "rename disk " + name);
  }
  return SyncFd(directory.get(), "the directory of VM " + uid);
}

Result<SnapshotStage> HostStorage::BeginSnapshot(const std::string& uid) {
  RETURN_IF_ERROR(CheckName(uid));
  if (::faccessat(snapshots_.get(), uid.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
    return Exists("snapshot " + uid + " is committed already");
  }
  const std::string name = kStagePrefix + uid;
  RETURN_IF_ERROR(RemoveTree(snapshots_.get(), name, kEntriesMax));
  if (::mkdirat(snapshots_.get(), name.c_str(), 0700) != 0) {
    return FromErrno(errno, "begin snapshot " + uid);
  }
  return SnapshotStage{uid, options_.state_dir + "/snapshots/" + name};
}

Result<UniqueFd> HostStorage::CreateSnapshotFile(const SnapshotStage& stage,
                                                 const std::string& name) {
  RETURN_IF_ERROR(CheckName(name));
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenBeneath(snapshots_.get(), kStagePrefix + stage.uid,
                                                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return OpenBeneath(directory.get(), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

Result<UniqueFd> HostStorage::OpenSnapshotFile(const std::string& uid, const std::string& name) {
  RETURN_IF_ERROR(CheckName(uid));
  RETURN_IF_ERROR(CheckName(name));
  ASSIGN_OR_RETURN(const UniqueFd directory,
                   OpenBeneath(snapshots_.get(), uid, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return OpenBeneath(directory.get(), name, O_RDONLY | O_NOFOLLOW);
}

Result<SnapshotManifest> HostStorage::CommitSnapshot(const SnapshotStage& stage,
                                                     SnapshotManifest manifest) {
  const std::string name = kStagePrefix + stage.uid;
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   OpenBeneath(snapshots_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(manifest.files, SealStage(fd.get(), stage.directory));
  manifest.uid = stage.uid;
  RETURN_IF_ERROR(WriteAtomically(fd.get(), kManifestName, ManifestToJson(manifest), 0444));
  if (::fchmod(fd.get(), 0755) != 0) return FromErrno(errno, "chmod snapshot " + stage.uid);
  RETURN_IF_ERROR(SyncFd(fd.get(), "snapshot " + stage.uid));
  if (::renameat2(snapshots_.get(), name.c_str(), snapshots_.get(), stage.uid.c_str(),
                  RENAME_NOREPLACE) != 0) {
    return FromErrno(errno, "commit snapshot " + stage.uid);
  }
  RETURN_IF_ERROR(SyncFd(snapshots_.get(), "the snapshots"));
  return manifest;
}

Status HostStorage::AbortSnapshot(const SnapshotStage& stage) {
  return RemoveTree(snapshots_.get(), kStagePrefix + stage.uid, kEntriesMax);
}

Lookup<SnapshotManifest> HostStorage::ReadSnapshot(const std::string& uid) {
  RETURN_IF_ERROR(CheckName(uid));
  auto directory = OpenBeneath(snapshots_.get(), uid, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory.ok() && directory.error().code == Code::kNotFound) {
    return std::optional<SnapshotManifest>();
  }
  if (!directory.ok()) return std::move(directory).error();
  auto file = OpenBeneath(directory->get(), kManifestName, O_RDONLY | O_NOFOLLOW);
  // The directory is there, so it is a snapshot: a missing manifest is damage, not absence.
  if (!file.ok()) return Internal("snapshot " + uid + ": " + file.error().message);
  ASSIGN_OR_RETURN(const std::string text, ReadAll(file->get(), kManifestBytesMax, kManifestName));
  ASSIGN_OR_RETURN(SnapshotManifest manifest, ManifestFromJson(text));
  for (const SnapshotFile& expected : manifest.files) {
    struct stat info {};
    if (::fstatat(directory->get(), expected.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        static_cast<std::uint64_t>(info.st_size) != expected.size_bytes) {
      return Internal("snapshot " + uid + ": file " + expected.name +
                      " is missing or has another size than its manifest says");
    }
  }
  return std::optional(std::move(manifest));
}

Status HostStorage::VerifySnapshot(const std::string& uid) {
  ASSIGN_OR_RETURN(const auto manifest, ReadSnapshot(uid));
  if (!manifest.has_value()) return NotFound("snapshot " + uid);
  ASSIGN_OR_RETURN(const UniqueFd directory,
                   OpenBeneath(snapshots_.get(), uid, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  for (const SnapshotFile& expected : manifest->files) {
    ASSIGN_OR_RETURN(const UniqueFd fd,
                     OpenBeneath(directory.get(), expected.name, O_RDONLY | O_NOFOLLOW));
    ASSIGN_OR_RETURN(const FileDigest digest, DigestFile(fd.get()));
    if (digest.sha256.compare(expected.sha256) != 0) {
      return Internal("snapshot " + uid + ": file " + expected.name + " was changed");
    }
  }
  return OkStatus();
}

Status HostStorage::RemoveSnapshot(const std::string& uid) {
  RETURN_IF_ERROR(CheckName(uid));
  // First out of sight by rename, so that a crash leaves no half of a snapshot under its name.
  const std::string doomed = std::string(kStagePrefix) + "removed-" + uid;
  RETURN_IF_ERROR(RemoveTree(snapshots_.get(), doomed, kEntriesMax));
  if (::renameat(snapshots_.get(), uid.c_str(), snapshots_.get(), doomed.c_str()) != 0) {
    return errno == ENOENT ? OkStatus() : Status(FromErrno(errno, "remove snapshot " + uid));
  }
  RETURN_IF_ERROR(SyncFd(snapshots_.get(), "the snapshots"));
  return RemoveTree(snapshots_.get(), doomed, kEntriesMax);
}

Result<std::vector<std::string>> HostStorage::ListSnapshots() {
  return ListDirectories(options_.state_dir + "/snapshots");
}

}  // namespace forkplane::storage
