// The small Linux guest that the demo, the tests and the benchmarks run: Debian's cloud kernel and
// busybox, downloaded as packages and unpacked into a cache (never installed), with an /init of
// ours in an initramfs.
//
// The guest reads from its kernel command line: `fk.ip=ADDRESS/PREFIX` and `fk.gw=ADDRESS` for
// eth0; without the first, or with `ip=dhcp`, it asks by DHCP; `fk.bus=pci` for machines without
// virtio-mmio. It serves one page that names it on port 80 and runs the pages of /www/cgi-bin.
// /etc/rc.local is run before READY is printed to the console; then the guest blocks without a
// timer of its own. Both come from an overlay: a directory of files that are laid over the guest's
// root. The power button (ACPI) switches the guest off at once.
//
// NOTE Tools: needs apt-get and dpkg, and a mirror apt can reach, on the first run only. Both are
// run directly, without a shell. Not on the road of any VM.
#pragma once

#include <string>

#include "controller/base/result.h"

namespace forkplane::guest {

struct GuestImageOptions {
  std::string cache_dir;   // packages and their unpacked trees; made when absent
  std::string output_dir;  // an image root; made when absent
  // Empty: none. Its directories, regular files (with their permissions) and symlinks appear in the
  // guest's root and take the place of files of ours; the guest's root user owns them.
  std::string overlay_dir = {};
};

struct GuestImage {
  std::string kernel;     // absolute: <output_dir>/guest/vmlinuz
  std::string initramfs;  // absolute: <output_dir>/guest/initramfs
  std::string kernel_version;
};

// What the image's files are called below an image root (spec.boot of a VirtualMachine).
inline constexpr char kKernelImage[] = "guest/vmlinuz";
inline constexpr char kInitramfsImage[] = "guest/initramfs";

// Downloads what the cache lacks and writes both files (by rename). Where apt cannot name the
// newest kernel, the newest of the cache is taken. Unavailable: no mirror, with
// apt's words. NotFound: a package lacks a file we need, or there is no overlay. Invalid: the
// overlay has a file of another type, or is too large (overlay.h).
Result<GuestImage> BuildGuestImage(const GuestImageOptions& options);

}  // namespace forkplane::guest
