// What the daemon needs of the host besides network and hypervisors.
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <thread>

#include "controller/app/doctor_probes.h"
#include "controller/base/unique_fd.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tun_file.h"
#include "drivers/process/cgroup.h"
#include "drivers/process/empty_network.h"

namespace forkplane::app {
namespace {

namespace fs = std::filesystem;

Finding Kernel() {
  utsname name = {};
  ::uname(&name);  // cannot fail on a valid pointer
  return JudgeKernel(name.release);
}

std::vector<Finding> Capabilities() {
  constexpr std::string_view kLine = "CapEff:\t";
  const auto status = process::ReadKernelFile("/proc/self/status");
  const std::size_t at = status.ok() ? status->find(kLine) : std::string::npos;
  std::uint64_t effective = 0;
  if (at != std::string::npos) {
    const char* const begin = status->data() + at + kLine.size();
    std::from_chars(begin, status->data() + status->size(), effective, 16);
  }
  return JudgeCapabilities(effective);
}

// A seccomp filter may forbid what the kernel has.
Finding PidfdGetfd() {
  const std::string what = "pidfd_getfd";
  const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!self.valid()) {
    return Missing(what, FromErrno(errno, "pidfd_open").message + ": no VMM can be watched",
                   "Linux 5.3 or later, and a seccomp profile that allows pidfd_open");
  }
  const UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, self.get(), self.get(), 0)));
  if (copy.valid()) return Ok(what, "a file of another process can be taken");
  return Degraded(what,
                  FromErrno(errno, "pidfd_getfd").message +
                      ": a TAP deleted under a running VMM is not healed after a restart",
                  "Linux 5.6 or later, and a seccomp profile that allows pidfd_getfd");
}

Finding TunDevice() {
  const auto tun = netlink::OpenTun();
  if (tun.ok()) return Ok("/dev/net/tun", "opened");
  return Missing("/dev/net/tun", tun.error().message,
                 "modprobe tun; in a container: mkdir -p /dev/net && mknod /dev/net/tun c 10 200, "
                 "and the device allowed");
}

Status TryCgroup(process::CgroupFolder& folder) {
  RETURN_IF_ERROR(folder.Create("vm"));
  const std::string procs = folder.path() + "/vm/cgroup.procs";
  if (::access(procs.c_str(), W_OK) != 0) return FromErrno(errno, "write " + procs);
  return OkStatus();
}

std::vector<Finding> Cgroup() {
  const std::string what = "cgroup v2";
  const std::string remedy =
      "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with "
      "systemd.unified_cgroup_hierarchy=1; in a unit Delegate=yes; in a container a writable tree";
  auto folder = process::CgroupFolder::Open(fmt::format("forkplane-doctor-{}", ::getpid()));
  if (!folder.ok()) return {Missing(what, folder.error().message, remedy)};
  const Status tried = TryCgroup(*folder);
  const Status removed = folder->KillAndRemove("vm", std::chrono::seconds(1));
  const Status gone = folder->RemoveFolder();
  for (const Status& status : {tried, removed, gone}) {
    if (!status.ok()) return {Missing(what, status.error().message, remedy)};
  }
  const std::string tree = fs::path(folder->path()).parent_path().string();
  const auto offered = process::ReadControllers(tree);
  return {
      Ok(what, tree + " is writable"),
      JudgeBounds(tree, offered.ok() ? *offered : process::Controllers{}, folder->controllers())};
}

Finding Namespaces() {
  const std::string what = "VMM namespaces";
  const auto network = process::MakeEmptyNetwork();
  if (network.ok()) return Ok(what, "an empty network, IPC and UTS");
  return Missing(what, network.error().message,
                 "CAP_SYS_ADMIN, and a kernel with CONFIG_NET_NS, CONFIG_IPC_NS and CONFIG_UTS_NS");
}

Status MakePrivateRoot() {
  if (::unshare(CLONE_NEWNS) != 0) return FromErrno(errno, "new mount namespace");
  // Or the mount below would spread to the host.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return FromErrno(errno, "make mounts private");
  }
  if (::mount("doctor", "/", "tmpfs", 0, nullptr) != 0) return FromErrno(errno, "mount a tmpfs");
  return OkStatus();
}

Finding PrivateRoot() {
  Status made = OkStatus();
  std::jthread([&made] { made = MakePrivateRoot(); }).join();
  if (made.ok()) return Ok("private root", "mount namespace and tmpfs");
  return Missing("private root", made.error().message,
                 "CAP_SYS_ADMIN, and a seccomp and LSM profile that allows mount and pivot_root");
}

Finding Bpffs(const std::string& directory) {
  const std::string where =
      fs::is_directory(directory) ? directory : fs::path(directory).parent_path().string();
  const std::string remedy = fmt::format("mount -t bpf bpf {}, or --bpffs below a mounted one",
                                         fs::path(directory).parent_path().string());
  struct statfs about = {};
  if (::statfs(where.c_str(), &about) != 0) {
    return Missing("bpffs", FromErrno(errno, where).message, remedy);
  }
  if (about.f_type != BPF_FS_MAGIC) {
    return Missing("bpffs", where + " is not in a bpffs: the programs cannot be pinned", remedy);
  }
  if (::access(where.c_str(), W_OK | X_OK) != 0) {
    return Missing("bpffs", FromErrno(errno, "write " + where).message, remedy);
  }
  return Ok("bpffs", where);
}

// The TAP programs read a structure of the kernel, whose layout it must tell (checksum.bpf.h).
Finding Btf() {
  constexpr const char* kPath = "/sys/kernel/btf/vmlinux";
  if (::access(kPath, R_OK) == 0) return Ok("BTF", kPath);
  return Missing("BTF", FromErrno(errno, kPath).message,
                 "a kernel with CONFIG_DEBUG_INFO_BTF=y, and sysfs mounted at /sys");
}

Finding Forwarding() {
  const std::string what = "IPv4 forwarding";
  const std::string remedy = "mount /proc/sys writable";
  const auto on = netlink::ProcSysctlDriver().Ipv4Forwarding();
  if (!on.ok()) return Missing(what, on.error().message, remedy);
  if (::access("/proc/sys/net/ipv4/conf/default/forwarding", W_OK) != 0) {
    return Missing(what, "/proc/sys is read-only", remedy);
  }
  if (*on) return Ok(what, "on: this host is a router between all of its links");
  return Ok(what, "off; the daemon opens links for guests alone");
}

Finding Descriptors() {
  rlimit bound{};
  if (::getrlimit(RLIMIT_NOFILE, &bound) != 0) bound.rlim_max = 0;
  return JudgeDescriptors(bound.rlim_max);
}

// The directory, or the nearest one above it that is there (the daemon makes the rest).
fs::path NearestThere(fs::path path) {
  std::error_code ignored;
  while (!fs::is_directory(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

// Tells of read-only mounts and quotas too.
Status TryToWriteBelow(const fs::path& directory) {
  // A file without a name leaves nothing, however this ends.
  const UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file.valid()) return OkStatus();
  if (errno != EOPNOTSUPP && errno != EISDIR) {
    return FromErrno(errno, "write below " + directory.string());
  }
  std::string name = (directory / "forkplane-doctor.XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr || ::rmdir(name.c_str()) != 0) {
    return FromErrno(errno, "write below " + directory.string());
  }
  return OkStatus();
}

std::vector<Finding> StateDirectory(const std::string& state_dir) {
  const std::string what = "state directory";
  const fs::path there = NearestThere(state_dir);
  const Status written = TryToWriteBelow(there);
  if (!written.ok()) {
    return {Missing(what, written.error().message,
                    "--state-dir on a writable file system, or run as its owner")};
  }
  std::vector<Finding> findings;
  findings.push_back(Ok(what, there == state_dir ? state_dir + " is writable"
                                                 : fmt::format("{} can be made", state_dir)));
  struct statvfs space = {};
  if (::statvfs(there.c_str(), &space) == 0) {
    findings.push_back(
        JudgeFreeSpace(there.string(), std::uint64_t{space.f_bavail} * space.f_frsize));
  }
  return findings;
}

}  // namespace

std::vector<Finding> ProbeHost(const Options& options) {
  std::vector<Finding> findings = {Kernel()};
  const auto add_all = [&findings](std::vector<Finding> more) {
    for (Finding& finding : more) findings.push_back(std::move(finding));
  };
  add_all(Capabilities());
  add_all({PidfdGetfd(), TunDevice()});
  add_all(Cgroup());
  add_all({PrivateRoot(), Namespaces(), Descriptors(), Btf(), Bpffs(options.bpffs), Forwarding()});
  add_all(StateDirectory(options.state_dir));
  return findings;
}

}  // namespace forkplane::app
