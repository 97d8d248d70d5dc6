// TAP devices. A TAP is not persistent: it lives as long as a process holds its file. The driver
// keeps one descriptor per TAP it made (the VMM gets a duplicate of it), so the device outlives a
// crash of the VMM, and the VMM's file can be given a new device when somebody deleted the old.
//
// NOTE Contract, threading, namespace: as in link_driver.h.
// NOTE Lifecycle: Create (down, no master) -> clsact, programs, TBF -> master -> isolated + up.
// Delete removes the device and forgets the file. A daemon that restarts holds no files: Adopt
// takes duplicates from the running VMMs; until then the VMM alone keeps the device alive.
// NOTE Performance: Create ~80 us. Delete, and Forget of the last file, wait ~20 ms for RCU: give
// them their own threads, never a create or restore path.
// NOTE Kernel: Reattach needs pidfd_getfd (5.6) and CAP_SYS_PTRACE.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "controller/base/net_address.h"
#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::drivers {

// The device's own MAC. As a port of a bridge it is never used; one that equals a guest's or the
// gateway's would take their frames.
constexpr MacAddress TapMac(std::uint32_t number) {
  const auto byte = [number](int shift) { return static_cast<std::uint8_t>(number >> shift); };
  return {{0x02, 0xfd, byte(24), byte(16), byte(8), byte(0)}};
}

struct TapSpec {
  std::uint32_t number = 0;  // leased; index and name follow from it (network_names.h)
  std::string alias;         // owner's uid
  // Size of the virtio-net header in front of each frame, in bytes; what a VMM expects (QEMU: 12
  // for virtio 1.x or mergeable buffers, which it sets itself when it opens the netdev).
  std::uint32_t vnet_header_bytes = 12;
  // TUN_F_* bits the guest accepts (linux/if_tun.h), 0: none. A VMM negotiates them itself;
  // Reattach sets what the device should have after it was healed.
  std::uint32_t offloads = 0;
  // Bytes a guest may have under way in the host before its writes are held back (EAGAIN): true
  // backpressure instead of drops in the class (3 290 000 of 3 300 000 frames: measured).
  std::uint32_t send_buffer_bytes = 256 * 1024;
  bool operator==(const TapSpec&) const = default;
};

// What this process knows of a TAP's file.
enum class TapFile : std::uint8_t {
  kNone,      // this process holds none
  kAttached,  // held, and the device is there
  kDetached,  // held, but its device was deleted: Reattach
};

class TapDriver {
 public:
  virtual ~TapDriver() = default;

  virtual Result<TapFile> ObserveFile(std::uint32_t number) = 0;

  // Makes the device, with TapMac, and keeps its file. Exists: the index or the name is taken.
  virtual Status Create(const TapSpec& spec) = 0;
  // A duplicate for a VMM, close-on-exec. NotFound: this process holds no file of it.
  virtual Result<UniqueFd> Dup(std::uint32_t number) = 0;
  // Takes and keeps a duplicate of the VMM's file of a TAP that exists. NotFound: no such process,
  // or it has no file attached to that TAP.
  virtual Status Adopt(std::uint32_t number, pid_t pid) = 0;
  // Makes the device again, under its old name and index, behind the file the VMM already has: the
  // kept duplicate or, with pid > 0, the one detached tun file of that process. The guest notices
  // nothing but lost frames. The result is as after Create: down, no master, no qdiscs.
  // Exists: the device is there. NotFound: no file. Conflict: the process has several detached
  // files and it cannot be told which one is meant.
  virtual Status Reattach(const TapSpec& spec, pid_t pid) = 0;
  // Closes the kept file; the device goes when nobody else holds it. Nothing held: ok.
  virtual Status Forget(std::uint32_t number) = 0;
  // Deletes the device, whoever holds it, and forgets the file. NotFound: no device (the file is
  // forgotten all the same).
  virtual Status Delete(std::uint32_t number) = 0;
};

}  // namespace forkplane::drivers
