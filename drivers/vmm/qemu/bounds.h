// What the cgroup of a QEMU process is held to, as a pure function.
//
// Memory is charged to the cgroup that touches a page first, for as long as the page lives:
// - a booted machine's memory is a memfd that the daemon made, but QEMU touches it: its own charge;
// - a restored machine maps the template privately. Pages with data were written by the daemon and
//   are its charge, whatever number of forks read them; a page the fork writes is copied, and the
//   copy is its own: at most the guest's memory. But a page of a hole that any fork touches, even
//   by writing to its private copy, comes to be in the template first, charged to that fork
//   (kernel: do_cow_fault calls shmem_fault; tests/unit/storage shows it). So one fork may be
//   charged for every hole the template has left when it starts, beside its whole own memory; later
//   forks find the pages there and pay nothing for them.
// So the bound ends a VMM that leaks or was taken over, and never a guest that uses what it was
// given.
#pragma once

#include <cstdint>

#include "drivers/process_driver.h"

namespace forkplane::vmm {

// `template_hole_bytes`: what of the template has no pages yet; 0 of a machine that boots.
process::Bounds QemuBounds(std::uint64_t memory_bytes, std::uint64_t template_hole_bytes);

// When the host runs out of memory a guest goes before the daemon (0 unless its service manager
// says otherwise) and everything else that runs there: it can be started or forked again, and it is
// what memory was sold to.
inline constexpr int kQemuOomScoreAdj = 500;

}  // namespace forkplane::vmm
