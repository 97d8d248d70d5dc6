#include "drivers/guest/guest_image.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "controller/base/unique_fd.h"
#include "controller/base/whole_file.h"
#include "drivers/guest/cpio.h"
#include "drivers/guest/init_script.h"
#include "drivers/guest/overlay.h"
#include "drivers/process/run_command.h"

namespace forkplane::guest {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes kDownloadPatience{5};
constexpr std::size_t kPackageFileBytesMax = std::size_t{256} << 20U;
constexpr char kMetaPackage[] = "linux-image-cloud-amd64";
constexpr char kBusyboxPackage[] = "busybox-static";

// In the kernel's tree below lib/modules/<version>/kernel.
constexpr std::array<const char*, 12> kModules = {
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio_mmio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/char/hw_random/virtio-rng",
    "drivers/acpi/button",
    "drivers/input/evdev",
};

Status MakeDirectories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return FromErrno(error.value(), "make " + path);
  return OkStatus();
}

// The package whose name carries the kernel's version, from "  Depends: linux-image-6.1.0-...".
Result<std::string> KernelPackage() {
  ASSIGN_OR_RETURN(
      const std::string text,
      process::RunCommandOk({.argv = {"apt-cache", "depends", kMetaPackage}, .directory = ""}));
  const std::size_t at = text.find("Depends: linux-image-");
  if (at == std::string::npos) {
    return NotFound(std::string("apt knows no ") + kMetaPackage + ": run apt-get update");
  }
  return text.substr(at + 9, text.find('\n', at) - at - 9);
}

// The newest kernel that the cache has unpacked; empty: none.
std::string CachedKernel(const std::string& cache) {
  std::string newest;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache, error)) {
    const std::string name = entry.path().filename().string();
    const bool kernel = name.starts_with("linux-image-") && name.ends_with("-cloud-amd64");
    // By length first: 6.1.0-100 is newer than 6.1.0-57.
    if (kernel && std::pair(name.size(), name) > std::pair(newest.size(), newest)) newest = name;
  }
  return newest;
}

// Without apt, or lists of it, a kernel from an earlier time serves.
Result<std::string> KernelPackageOrCached(const std::string& cache) {
  auto package = KernelPackage();
  if (package.ok()) return package;
  const std::string cached = CachedKernel(cache);
  if (cached.empty()) return package;
  return cached;
}

std::string FindPackageFile(const std::string& cache, const std::string& package) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(package + "_") && name.ends_with(".deb")) return entry.path().string();
  }
  return "";
}

// Path of the unpacked tree. The stamp is renamed into place last, so a broken-off unpack is done
// again.
Result<std::string> Unpacked(const std::string& cache, const std::string& package) {
  std::string tree = cache + "/" + package;
  if (fs::exists(tree)) return tree;
  std::string file = FindPackageFile(cache, package);
  if (file.empty()) {
    RETURN_IF_ERROR(process::RunCommandOk({.argv = {"apt-get", "-q", "download", package},
                                           .directory = cache,
                                           .timeout = kDownloadPatience}));
    file = FindPackageFile(cache, package);
    if (file.empty()) return NotFound("apt-get download left no file of " + package);
  }
  const std::string partial = tree + ".partial";
  std::error_code error;
  fs::remove_all(partial, error);
  RETURN_IF_ERROR(process::RunCommandOk(
      {.argv = {"dpkg", "-x", file, partial}, .directory = cache, .timeout = kDownloadPatience}));
  fs::rename(partial, tree, error);
  if (error) return FromErrno(error.value(), "rename " + partial);
  return tree;
}

// World-readable: the VMM opens it again under its own uid.
Status WriteFile(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".partial";
  const UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd.valid()) return FromErrno(errno, "make " + temporary);
  RETURN_IF_ERROR(WriteAll(fd.get(), content, temporary));
  if (::fchmod(fd.get(), 0644) != 0 || ::fsync(fd.get()) != 0 ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    return FromErrno(errno, "put " + path + " in place");
  }
  return OkStatus();
}

Result<std::string> MakeInitramfs(const std::string& modules, const std::string& busybox,
                                  const std::string& overlay) {
  CpioWriter archive;
  for (const char* directory : {"bin", "dev", "etc", "lib", "lib/modules", "proc", "run", "sys",
                                "tmp", "www", "www/cgi-bin"}) {
    archive.AddDirectory(directory);
  }
  archive.AddCharDevice("dev/console", 5, 1);  // else the kernel starts /init without output
  ASSIGN_OR_RETURN(const std::string program, ReadFile(busybox, kPackageFileBytesMax));
  archive.AddFile("bin/busybox", program, 0755);
  archive.AddSymlink("bin/sh", "busybox");
  for (const char* module : kModules) {
    ASSIGN_OR_RETURN(const std::string object,
                     ReadFile(modules + "/" + module + ".ko", kPackageFileBytesMax));
    archive.AddFile("lib/modules/" + fs::path(module).filename().string() + ".ko", object, 0644);
  }
  archive.AddFile("init", kInitScript, 0755);
  archive.AddFile("bin/lease", kLeaseScript, 0755);
  if (!overlay.empty()) RETURN_IF_ERROR(AddOverlay(overlay, archive));
  return archive.Finish();
}

}  // namespace

Result<GuestImage> BuildGuestImage(const GuestImageOptions& options) {
  RETURN_IF_ERROR(MakeDirectories(options.cache_dir));
  RETURN_IF_ERROR(MakeDirectories(options.output_dir + "/guest"));
  // Two builders on one cache would unpack into each other.
  const UniqueFd lock(
      ::open((options.cache_dir + "/.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.valid() || ::flock(lock.get(), LOCK_EX) != 0) {
    return FromErrno(errno, "lock " + options.cache_dir);
  }
  ASSIGN_OR_RETURN(const std::string kernel_package, KernelPackageOrCached(options.cache_dir));
  ASSIGN_OR_RETURN(const std::string kernel_tree, Unpacked(options.cache_dir, kernel_package));
  ASSIGN_OR_RETURN(const std::string busybox_tree, Unpacked(options.cache_dir, kBusyboxPackage));
  GuestImage image;
  image.kernel_version = kernel_package.substr(std::string_view("linux-image-").size());
  image.kernel = options.output_dir + "/" + kKernelImage;
  image.initramfs = options.output_dir + "/" + kInitramfsImage;
  ASSIGN_OR_RETURN(
      const std::string kernel,
      ReadFile(kernel_tree + "/boot/vmlinuz-" + image.kernel_version, kPackageFileBytesMax));
  ASSIGN_OR_RETURN(const std::string initramfs,
                   MakeInitramfs(kernel_tree + "/lib/modules/" + image.kernel_version + "/kernel",
                                 busybox_tree + "/bin/busybox", options.overlay_dir));
  RETURN_IF_ERROR(WriteFile(image.kernel, kernel));
  RETURN_IF_ERROR(WriteFile(image.initramfs, initramfs));
  return image;
}

}  // namespace forkplane::guest
