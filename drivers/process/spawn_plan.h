// Everything a new child does before execve, worked out beforehand in the parent: the child only
// walks these arrays with raw system calls. Internal to the process driver.
//
// Why a clone3 "fork" and not a helper program: the daemon has many threads, so a child that shares
// or copies its memory may only make async-signal-safe calls (another thread may hold malloc's lock
// at the moment of the clone). Re-executing our own binary as a helper would be free of that, but
// costs a dynamic link of the daemon per VM (5 to 10 ms); posix_spawn cannot mount. So: all strings
// are built before, the child allocates nothing, takes no lock, and uses syscall(2) for the
// credential calls, because glibc's setresuid broadcasts to threads that do not exist in the child.
// CLONE_VFORK holds the caller until execve or exit, so the report needs no pipe and no wait.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"
#include "drivers/process_driver.h"

namespace forkplane::process {

// Steps in order; the report names the one that failed.
enum class SpawnStep : std::uint8_t {
  kNone,
  kCgroup,
  kNamespaces,
  kSession,
  kPrivatePropagation,
  kMountRoot,
  kMakeTarget,
  kBind,
  kMountProc,
  kPivot,
  kReadOnly,
  kDescriptors,
  kCapabilities,
  kCredentials,
  kExec,
  kDone,
};
const char* ToString(SpawnStep step);

// In a page shared with the child.
struct SpawnReport {
  SpawnStep step = SpawnStep::kNone;
  int error = 0;
  int index = -1;  // of the bind or target, where the step has one
};

struct SpawnPlan {
  struct Mount {
    std::string source;
    std::string target;  // below the mount point
    bool writable = false;
  };
  std::string mount_point;               // where the tmpfs is mounted before it becomes /
  std::vector<std::string> directories;  // absolute, parents first
  std::vector<std::string> files;        // empty targets of file binds
  std::vector<Mount> mounts;
  std::vector<std::string> writable;  // inside the root, after pivot_root
  std::string proc;
  std::string vm;
  int vm_tree_fd = -1;
  std::string executable;
  std::vector<std::string> arguments;
  std::vector<char*> argv;   // into the above; null-terminated
  std::vector<int> fds;      // to become 0, 1, 2, 3...
  int network_fd = -1;       // the empty network namespace
  int cgroup_procs_fd = -1;  // >= 0: the child moves itself
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> supplementary_groups;  // of the devices, and nothing else
  std::uint64_t file_bytes_max = 0;
  std::string oom_score_adj;  // as written into /proc/self/oom_score_adj
};

// `directory_tree_fd` is a detached mount of the VM directory (open_tree with OPEN_TREE_CLONE), to
// be moved to /vm: a bind of /proc/self/fd/N would be EINVAL, since the descriptor's mount belongs
// to the daemon's namespace and not to the child's. Invalid: a path that is relative or has "..".
struct StandardFds {
  int null_fd = -1;
  int output_fd = -1;
};
Result<SpawnPlan> MakeSpawnPlan(const SpawnSpec& spec, const std::string& mount_point,
                                int directory_tree_fd, const StandardFds& standard);

// Runs in the child; never returns.
[[noreturn]] void RunSpawnChild(const SpawnPlan& plan, SpawnReport* report);

}  // namespace forkplane::process
