// One folder of the cgroup v2 tree that holds one cgroup per owner.
//
// NOTE API: works on a unified tree (/sys/fs/cgroup) and on a hybrid one
// (/sys/fs/cgroup/unified): the mount is found in /proc/self/mountinfo. No controller is needed,
// only cgroup.procs, cgroup.events and cgroup.kill (Linux 5.14; before that every process is
// killed by number until none is left). Bounds are written where the tree offers their controllers
// (bounds.h); only the folder's own cgroup.subtree_control is changed, the tree above is not ours.
// https://docs.kernel.org/admin-guide/cgroup-v2.html
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"
#include "drivers/process/bounds.h"

namespace forkplane::process {

class CgroupFolder {
 public:
  // `parent` is a path below the cgroup2 mount ("forkplane"); made when absent. Unavailable: no
  // cgroup2 mount, or it may not be written (not delegated), with what to do about it.
  static Result<CgroupFolder> Open(const std::string& parent);
  // The folder at an absolute path, which is there.
  static Result<CgroupFolder> OpenAt(std::string path);

  // Existing is success; the bounds are written either way.
  Status Create(const std::string& name, const Bounds& bounds = {});
  // A descriptor for CLONE_INTO_CGROUP.
  Result<UniqueFd> OpenDirectory(const std::string& name) const;
  // nullopt: there is no such cgroup.
  Lookup<std::vector<pid_t>> Processes(const std::string& name) const;
  // Kills everything inside, waits until it is empty, removes it. Absent is success.
  Status KillAndRemove(const std::string& name, std::chrono::milliseconds patience);
  Result<std::vector<std::string>> List() const;
  // The folder itself, when it is empty; for tests and uninstall.
  Status RemoveFolder();

  const std::string& path() const { return path_; }
  // What the owners' cgroups are bounded by.
  const Controllers& controllers() const { return controllers_; }

 private:
  CgroupFolder(std::string path, Controllers controllers)
      : path_(std::move(path)), controllers_(controllers) {}
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }
  Status SignalAll(const std::string& name) const;

  std::string path_;
  Controllers controllers_;
};

// A whole small file of /proc or of a cgroup.
Result<std::string> ReadKernelFile(const std::string& path);

}  // namespace forkplane::process
