// Processes that outlive the daemon, each alone in a private root, a cgroup and a uid, without any
// network but what is passed to it as descriptors.
//
// NOTE API: a process is named by the uid of what it serves ("owner" below). Its cgroup
// `forkplane/<owner>` is made before the process and is the record of it: cgroup.procs says what
// runs, whatever the daemon's memory says, and start time and boot id tell a recycled pid apart.
// NOTE Threading: implementations are thread-safe; two calls for one owner at the same time are
// the caller's fault (the queue's key is the lock). Watch callbacks come from a thread of the
// driver and must not block: add a key to a queue.
// NOTE Isolation: mount, IPC and UTS namespaces of its own; one empty network namespace for all
// processes that one daemon began (drivers/process/empty_network.h says what they share by it). The
// pid namespace is the host's: the uid and /proc's hidepid keep others out of sight.
// NOTE Privilege: Spawn needs CAP_SYS_ADMIN (mounts), CAP_SETUID/SETGID and a cgroup v2 tree it may
// write; a missing one is an error that names it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::process {

// A host path that is visible inside the private root, at `path`. Files and directories both;
// read-only unless `writable`. `path` is absolute, without "..".
struct Bind {
  std::string host_path;
  std::string path;
  bool writable = false;
};

// The number the first passed descriptor has in the child; the next one follows. 0 is /dev/null,
// 1 and 2 are the output file.
inline constexpr int kFirstPassedFd = 3;
constexpr int PassedFdNumber(std::size_t index) { return kFirstPassedFd + static_cast<int>(index); }

// What a process's cgroup is held to; 0: no bound. Where the host's cgroup tree does not offer the
// controller there is no bound either: `forkplane doctor` says so, and how to get it.
struct Bounds {
  // Counts each page for the cgroup that touched it first, page cache and the kernel's own memory
  // included. Over it the kernel takes back what it can, then kills everything inside.
  std::uint64_t memory_bytes_max = 0;
  std::uint64_t pids_max = 0;  // threads count, too
  bool operator==(const Bounds&) const = default;
};

struct SpawnSpec {
  std::string owner;                   // [A-Za-z0-9-.]{1,128}; the cgroup's name
  std::string executable;              // absolute, as seen inside the private root
  std::vector<std::string> arguments;  // without argv[0], which is `executable`
  std::string directory;  // host directory, seen as /vm; read-only for the child, whose
                          // writable files there were made and chowned by the caller
  std::string output_file = "vmm.log";  // in `directory`; appended to, made when absent
  std::vector<Bind> binds;              // see BindsOf; /vm, /proc, /dev/null are always there
  // Character devices of the host, each at its own path. Where a node is its group's, as /dev/kvm
  // is (0660 root:kvm), the process is in that group, and in no other beside `group`. A node that
  // only root may open is Unavailable.
  std::vector<std::string> devices;
  std::vector<int> fds;  // borrowed for the call; see PassedFdNumber
  uid_t user = 0;        // 0 is refused: nothing is ever spawned as root
  gid_t group = 0;       // 0 is refused
  // No file grows beyond this (RLIMIT_FSIZE; a write fails with EFBIG and no signal); 0: no bound.
  // Mapped memory is not a file's growth. Counts for what it prints, too.
  std::uint64_t file_bytes_max = 0;
  Bounds bounds;
  // When the host runs out of memory: 1000 goes first, -1000 never (oom_score_adj). Never
  // inherited: a service manager protects the daemon by it, and would protect every VMM. Only a
  // privileged daemon (CAP_SYS_RESOURCE) gives less than it has itself; else the child keeps that.
  int oom_score_adj = 0;
};

// Enough to know the process again after a restart of the daemon or of the host.
struct ProcessRecord {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat: clock ticks since boot
  std::string boot_id;            // /proc/sys/kernel/random/boot_id
  bool operator==(const ProcessRecord&) const = default;
};

// How a child of ours ended; -1 where it is unknown (it was started by an earlier daemon).
struct ExitInfo {
  int code = -1;    // exit status, -1 when killed by a signal or unknown
  int signal = -1;  // terminating signal
};

struct Observed {
  bool cgroup = false;                 // the cgroup exists (Spawn was begun)
  std::vector<ProcessRecord> running;  // what cgroup.procs lists; normally none or one
};

class ProcessDriver {
 public:
  virtual ~ProcessDriver() = default;

  // Starts the process: new session, private mount namespace whose root is a private tmpfs entered
  // by pivot_root, empty network, empty environment, no_new_privs, no capability, inside its cgroup
  // from its first instruction. Returns after execve succeeded. Exists: the owner's cgroup holds a
  // process. Invalid: the spec is refused, or the executable is missing inside the root. After an
  // error nothing runs and the cgroup is gone.
  virtual Result<ProcessRecord> Spawn(const SpawnSpec& spec) = 0;

  // Reads only. An owner that never was is {false, {}}.
  virtual Result<Observed> Observe(const std::string& owner) = 0;

  // True when `record` is a live process of this boot inside the owner's cgroup.
  virtual Result<bool> IsAlive(const std::string& owner, const ProcessRecord& record) = 0;

  // SIGTERM-less end: cgroup.kill until the cgroup is empty, then rmdir. Absent is success: the end
  // state is the same. Unavailable when processes are still there after two seconds (an
  // uninterruptible sleep): call again.
  virtual Status Kill(const std::string& owner) = 0;

  // All owners that have a cgroup: for orphan detection and adoption.
  virtual Result<std::vector<std::string>> List() = 0;

  // Calls back once, when the process ends; at once when it has ended already. Works for processes
  // of an earlier daemon too (pidfd). Watching an owner again replaces the callback.
  using ExitCallback = std::function<void(const std::string& owner, const ExitInfo& exit)>;
  virtual Status Watch(const std::string& owner, const ProcessRecord& record,
                       ExitCallback callback) = 0;
};

// Read-only binds of a dynamically linked executable: itself, its interpreter and every library it
// asks for, each at its own path. Runs the interpreter with --list (never the program): about
// 10 ms, so callers keep the answer.
Result<std::vector<Bind>> BindsOf(const std::string& executable);

}  // namespace forkplane::process
