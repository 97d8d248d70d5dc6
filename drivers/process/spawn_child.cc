// The child between clone3 and execve. Nothing here allocates, locks or logs (see spawn_plan.h).
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "drivers/process/spawn_plan.h"

namespace forkplane::process {
namespace {

constexpr int kCapabilitiesMax = 64;
constexpr std::string_view kHostName = "vmm";

struct Child {
  const SpawnPlan& plan;
  SpawnReport* report;

  void Begin(SpawnStep step) const {
    report->step = step;
    report->index = -1;
  }
  [[noreturn]] void Fail() const {
    report->error = errno;
    ::_exit(127);
  }
  void Require(bool ok) const {
    if (!ok) Fail();
  }
};

void EnterCgroup(const Child& child) {
  if (child.plan.cgroup_procs_fd < 0) return;
  child.Begin(SpawnStep::kCgroup);
  child.Require(::write(child.plan.cgroup_procs_fd, "0", 1) == 1);
}

void EnterNamespaces(const Child& child) {
  child.Begin(SpawnStep::kNamespaces);
  child.Require(::setns(child.plan.network_fd, CLONE_NEWNET) == 0);
  // The UTS namespace is its own since the clone, and still has the host's name.
  child.Require(::sethostname(kHostName.data(), kHostName.size()) == 0);
}

// Through the host's /proc, so before the root changes. One that may not be lowered stays.
void SetOomScore(const SpawnPlan& plan) {
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t ignored = ::write(fd, plan.oom_score_adj.data(), plan.oom_score_adj.size());
  static_cast<void>(ignored);
  ::close(fd);
}

void BuildRoot(const Child& child) {
  const SpawnPlan& plan = child.plan;
  child.Begin(SpawnStep::kPrivatePropagation);
  child.Require(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  child.Begin(SpawnStep::kMountRoot);
  child.Require(::mount("tmpfs", plan.mount_point.c_str(), "tmpfs", MS_NOSUID | MS_NODEV,
                        "mode=0755,size=1m") == 0);
  child.Begin(SpawnStep::kMakeTarget);
  for (std::size_t i = 0; i < plan.directories.size(); ++i) {
    child.report->index = static_cast<int>(i);
    child.Require(::mkdir(plan.directories[i].c_str(), 0755) == 0);
  }
  for (const std::string& file : plan.files) {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    child.Require(fd >= 0);
    ::close(fd);
  }
  child.Begin(SpawnStep::kBind);
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) {
    child.report->index = static_cast<int>(i);
    const SpawnPlan::Mount& mount = plan.mounts[i];
    child.Require(::mount(mount.source.c_str(), mount.target.c_str(), nullptr, MS_BIND, nullptr) ==
                  0);
  }
  child.report->index = -1;
  child.Require(::syscall(SYS_move_mount, plan.vm_tree_fd, "", AT_FDCWD, plan.vm.c_str(),
                          MOVE_MOUNT_F_EMPTY_PATH) == 0);
  // A process sees itself there (passed descriptors are opened as /proc/self/fd/N) and nothing of
  // others: hidepid=ptraceable, and no file of the machine: subset=pid (both Linux 5.8).
  child.Begin(SpawnStep::kMountProc);
  child.Require(::mount("proc", plan.proc.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                        "hidepid=ptraceable,subset=pid") == 0);
}

void EnterRoot(const Child& child) {
  const SpawnPlan& plan = child.plan;
  // pivot_root(".", ".") stacks the old root on the new one; the unmount takes it away again
  // (pivot_root(2), notes).
  child.Begin(SpawnStep::kPivot);
  child.Require(::chdir(plan.mount_point.c_str()) == 0);
  child.Require(::syscall(SYS_pivot_root, ".", ".") == 0);
  child.Require(::umount2(".", MNT_DETACH) == 0);
  child.Require(::chdir("/") == 0);
  child.Begin(SpawnStep::kReadOnly);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
  child.Require(::syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes,
                          sizeof attributes) == 0);
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  attributes.attr_clr = MOUNT_ATTR_RDONLY;
  for (const std::string& path : plan.writable) {
    child.Require(::syscall(SYS_mount_setattr, AT_FDCWD, path.c_str(), 0, &attributes,
                            sizeof attributes) == 0);
  }
  child.Require(::chdir("/vm") == 0);
}

// First above all targets, then down: so no source is overwritten before it was used.
void ArrangeDescriptors(const Child& child) {
  child.Begin(SpawnStep::kDescriptors);
  const int count = static_cast<int>(child.plan.fds.size());
  std::array<int, 80> moved{};
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    moved.at(at) = ::fcntl(child.plan.fds[at], F_DUPFD, count);
    child.Require(moved.at(at) >= 0);
  }
  for (int i = 0; i < count; ++i) {
    child.Require(::dup2(moved.at(static_cast<std::size_t>(i)), i) == i);
  }
  child.Require(::syscall(SYS_close_range, count, ~0U, 0) == 0);
}

void DropPrivileges(const Child& child) {
  child.Begin(SpawnStep::kCapabilities);
  child.Require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  for (int capability = 0; capability < kCapabilitiesMax; ++capability) {
    // EINVAL: beyond the kernel's last one.
    child.Require(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 || errno == EINVAL);
  }
  child.Require(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0);
  child.Begin(SpawnStep::kCredentials);
  const std::vector<gid_t>& groups = child.plan.supplementary_groups;
  child.Require(::syscall(SYS_setgroups, groups.size(), groups.data()) == 0);
  const gid_t group = child.plan.group;
  const uid_t user = child.plan.user;
  child.Require(::syscall(SYS_setresgid, group, group, group) == 0);
  child.Require(::syscall(SYS_setresuid, user, user, user) == 0);
  // The uid change emptied permitted and effective; this empties inheritable.
  child.Begin(SpawnStep::kCapabilities);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  child.Require(::syscall(SYS_capset, &header, none.data()) == 0);
}

// The limit's signal would end a VMM whose guest talks too much; ignored, the write fails instead.
void BoundFiles(const SpawnPlan& plan) {
  if (plan.file_bytes_max == 0) return;
  const rlimit bound{plan.file_bytes_max, plan.file_bytes_max};
  ::setrlimit(RLIMIT_FSIZE, &bound);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGXFSZ, &ignore, nullptr);
}

// The daemon raises its own soft limit for its clients; a child gets the usual one, for which a VMM
// that uses select(2) was written. The hard limit stays, so one that needs more can ask for it.
void BoundDescriptors() {
  constexpr rlim_t kUsual = 1024;
  rlimit bound{};
  if (::getrlimit(RLIMIT_NOFILE, &bound) != 0 || bound.rlim_cur <= kUsual) return;
  bound.rlim_cur = kUsual;
  ::setrlimit(RLIMIT_NOFILE, &bound);
}

}  // namespace

void RunSpawnChild(const SpawnPlan& plan, SpawnReport* report) {
  const Child child{plan, report};
  EnterCgroup(child);
  EnterNamespaces(child);
  SetOomScore(plan);
  child.Begin(SpawnStep::kSession);
  child.Require(::setsid() >= 0);
  ::umask(022);  // the root's folders are for the unprivileged user too
  BuildRoot(child);
  EnterRoot(child);
  ArrangeDescriptors(child);
  const rlimit no_core{0, 0};  // a core would hold the guest's memory
  ::setrlimit(RLIMIT_CORE, &no_core);
  BoundFiles(child.plan);
  BoundDescriptors();
  ::umask(027);
  DropPrivileges(child);
  // CLONE_CLEAR_SIGHAND reset handlers; what the daemon ignores would stay ignored.
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &by_default, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  child.Begin(SpawnStep::kExec);
  std::array<char*, 1> environment{nullptr};
  ::execve(plan.executable.c_str(), plan.argv.data(), environment.data());
  child.Fail();
}

}  // namespace forkplane::process
