// What the control plane asks of a virtual machine monitor. Capabilities decide what a loop does;
// no loop ever asks for a driver's name.
//
// NOTE API: a machine is named by its VM uid and lives in one process of the process driver (the
// simulated driver has none). Everything a driver must know later (memory size, devices, which
// descriptor is what) is in `machine.json` of the VM directory before the process is begun, so any
// daemon can go on with any machine: there is no "attach" that must come first. Calls are
// level-triggered: Resume of a running machine and Quit of an absent one succeed.
// NOTE Threading: thread-safe. While one call changes a machine, another that would change the same
// machine is refused with Conflict ("busy: snapshot"), so a VM loop can never resume a machine in
// the middle of a snapshot's pause. Query always answers.
// NOTE Errors: Unavailable and Internal carry the VMM's own last output and console lines.
// NOTE Deadlines: every call ends by itself (monitor calls 5 s, load and capture 60 s), earlier
// when `stop` is asked.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"
#include "drivers/process_driver.h"

namespace forkplane::vmm {

enum class PauseMethod : std::uint8_t {
  kNone,        // cannot snapshot a running machine
  kCopy,        // paused while its memory is copied: time grows with memory
  kSuccession,  // paused while a successor process takes over
  kBackground,  // pause independent of memory
};

struct Capabilities {
  std::string name;          // as in spec.hypervisor
  std::string version;       // of the binary found
  std::string state_format;  // snapshots load only where this is equal
  std::string accelerator;   // "kvm", "tcg", "none"
  bool snapshot_full = false;
  bool snapshot_diff = false;
  bool snapshot_of_fork = false;  // a restored machine can be snapshotted
  PauseMethod pause_method = PauseMethod::kNone;
  int concurrent_restores_max = 32;
  bool passes_tap_fd = false;   // false: opens the TAP by name; it must be persistent and closed
  bool needs_tap = false;       // a machine with interfaces needs real TAPs
  bool needs_template = false;  // Restore.memory must be a sealed memfd
  bool network_override = false;
  bool vsock_override = false;
  bool warm_slots = false;
  bool balloon = false;
  std::uint64_t memory_bytes_min = 0;
  std::uint64_t memory_bytes_step = 1;  // a machine's memory is a multiple of it
  int cpus_max = 1;
};

struct MachineRef {
  std::string uid;        // of the VirtualMachine
  std::string directory;  // host path of its VM directory
};

struct Interface {
  std::string name;
  std::string mac;  // inner MAC, "02:fc:00:00:01:01"
  int tap_fd = -1;  // borrowed for the call; opened with IFF_VNET_HDR; -1 where !needs_tap
};

// Descriptors are borrowed for the call. Images must be readable by the machine's user: the VMM
// opens them again through /proc/self/fd.
struct BootSource {
  int kernel_fd = -1;
  int initramfs_fd = -1;  // -1: none
  std::string cmdline;    // the driver adds console and clock parameters of its own
};

struct RestoreSource {
  std::string state_path;    // the snapshot's "state" file, absolute
  int memory_fd = -1;        // sealed template (needs_template), else the memory file; borrowed
  std::string state_format;  // from the manifest
};

struct MachineSpec {
  MachineRef ref;
  uid_t user = 0;
  gid_t group = 0;
  int cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::vector<Interface> interfaces;  // of a restored machine: number, order and MACs as in the
                                      // snapshot
  std::optional<BootSource> boot;     // exactly one of the two
  std::optional<RestoreSource> restore;
};

enum class MachineState : std::uint8_t {
  kAbsent,   // no process
  kLoading,  // process is there, waits for or performs a load; the guest has never run
  kPaused,
  kRunning,
  kShutdown,  // the guest switched itself off; Quit ends the process
  kFailed,    // the VMM reports an internal error (Query of one that is silent is Unavailable)
};
std::string_view ToString(MachineState state);

struct Observation {
  MachineState state = MachineState::kAbsent;
  std::optional<process::ProcessRecord> process;
  bool capturing = false;  // a snapshot is in progress: a pause is wanted, leave it alone
  bool restored = false;   // was started from a snapshot
  std::string detail;      // for kFailed: why
};

// Where the capture puts its parts. The memory goes into `memory` as a new unsealed memfd (drivers
// that need templates) and is written to files by the caller once the machine runs again.
struct Capture {
  UniqueFd memory;  // unsealed memfd with the whole memory, or invalid where memory went to files
  std::vector<std::string> files;  // what the driver wrote into the directory: "state", ("memory")
  std::chrono::microseconds pause{0};  // guest stopped to guest running again
  std::uint64_t memory_bytes = 0;
  std::uint64_t state_bytes = 0;
  std::vector<std::pair<std::string, std::string>> interfaces;  // name, inner MAC
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  virtual const Capabilities& capabilities() const = 0;

  // Terminal refusals before anything is leased: memory too small, too many cpus, a snapshot of
  // another state format. Invalid with causes naming fields ("spec.memory").
  virtual Status Check(const MachineSpec& spec) const = 0;

  // Begins the machine's process. A boot source: the guest runs when it returns. A restore source:
  // the process waits, the guest has never run (kLoading). Exists: it has a process already.
  // After an error no process is left.
  virtual Result<process::ProcessRecord> Launch(const MachineSpec& spec,
                                                const std::stop_token& stop) = 0;
  // kLoading -> kPaused. The state file is read by the daemon's descriptor, so it may stay root's.
  // A failed load leaves a process that is good for nothing: Quit and launch again.
  virtual Status Load(const MachineRef& ref, const RestoreSource& source,
                      const std::stop_token& stop) = 0;
  virtual Status Resume(const MachineRef& ref) = 0;
  virtual Status Pause(const MachineRef& ref) = 0;

  // Pause, save, resume. The machine runs again when this returns, whether with a value or an
  // error; should even the resume fail, the error says so and Query tells kPaused. `directory`
  // takes the state file. The machine must be kRunning.
  virtual Result<Capture> Snapshot(const MachineRef& ref, const std::string& directory,
                                   const std::stop_token& stop) = 0;

  virtual Result<Observation> Query(const MachineRef& ref) = 0;

  // Presses the power button of a running guest and returns: whether and when the guest follows is
  // its own affair; the end of its process is told as any other. Asking again is harmless.
  virtual Status AskPowerOff(const MachineRef& ref) = 0;

  // Ends the process without asking the guest, and confirms that it is gone. Absent is success.
  virtual Status Quit(const MachineRef& ref) = 0;

  // A machine of an earlier daemon: true when `record` is its live process and it answers as this
  // VM. Watches its exit from now on. False: what is there is not this machine.
  virtual Result<bool> Adopt(const MachineRef& ref, const process::ProcessRecord& record) = 0;

  // Last lines the guest wrote to its console, oldest first.
  virtual std::vector<std::string> ConsoleTail(const MachineRef& ref, std::size_t lines_max) = 0;

  // Called when a machine's process ends, from a thread of the driver; must not block. Set before
  // the first Launch or Adopt. Ends with the returned handle: when that is destroyed, no call is
  // under way and none will begin.
  [[nodiscard]] virtual std::shared_ptr<void> OnExit(
      std::function<void(const std::string& uid)> callback) = 0;
};

// By the name in its capabilities (spec.hypervisor). nullptr: this host has none of that name.
template <typename H>
H* FindHypervisor(const std::vector<H*>& hypervisors, std::string_view name) {
  for (H* hypervisor : hypervisors) {
    if (hypervisor->capabilities().name == name) return hypervisor;
  }
  return nullptr;
}

}  // namespace forkplane::vmm
