// The small Linux guest that the demo, the tests and the benchmarks run: Debian's cloud kernel and
// busybox, downloaded as packages and unpacked into a cache (never installed), with an /init of
// ours in an initramfs.
//
// The guest reads from its kernel command line: `fk.ip=ADDRESS/PREFIX` and `fk.gw=ADDRESS` for
// eth0; without the first, or with `ip=dhcp`, it asks by DHCP; `fk.bus=pci` for machines without
// virtio-mmio. It serves HTTP on port 80: `/` names it,
// `/cgi-bin/upload?N` streams N MiB out of it (default 64), `/files/zeros` 1 GiB at a tenth of the
// guest's work; port 5001 swallows what is sent to it.
// `/cgi-bin/fetch?ADDRESS` tells what the guest gets from another's port 80 ("unreachable" after
// 2 s); `/cgi-bin/spoof?ADDRESS` sends 3 pings and 3 ARP requests under a false address.
// `/cgi-bin/spoof?ADDRESS,MAC` also announces the address, under the guest's own MAC and under that
// one. `/cgi-bin/flood?SECONDS` sends as fast as it can, whether or not anything arrives.
// What is posted to `/cgi-bin/keep` is served as `/files/kept`; the answer is its SHA-256.
// `/cgi-bin/ask` asks by DHCP (again) and shows the answer.
// It prints READY to its console when all this answers, and then blocks without a timer of its own.
// The power button (ACPI) switches it off at once.
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
};

struct GuestImage {
  std::string kernel;     // absolute: <output_dir>/guest/vmlinuz
  std::string initramfs;  // absolute: <output_dir>/guest/initramfs
  std::string kernel_version;
};

// What the image's files are called below an image root (spec.boot of a VirtualMachine).
inline constexpr char kKernelImage[] = "guest/vmlinuz";
inline constexpr char kInitramfsImage[] = "guest/initramfs";

// Downloads what the cache lacks and writes both files (by rename). Unavailable: no mirror, with
// apt's words. NotFound: a package lacks a file we need.
Result<GuestImage> BuildGuestImage(const GuestImageOptions& options);

}  // namespace forkplane::guest
