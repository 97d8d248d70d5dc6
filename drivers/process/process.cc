#include "drivers/process/process.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "drivers/process/empty_network.h"
#include "drivers/process/spawn_plan.h"

namespace forkplane::process {
namespace {

constexpr std::chrono::milliseconds kKillPatience{2000};

Status CheckOwner(const std::string& owner) {
  const bool plain = std::all_of(owner.begin(), owner.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  });
  if (!plain || owner.empty() || owner.size() > 128 || owner[0] == '.') {
    return Invalid("process owner must be 1 to 128 of [A-Za-z0-9-.]: '" + owner + "'");
  }
  return OkStatus();
}

// The report is written by the child and read after CLONE_VFORK let us go on.
class SharedReport {
 public:
  SharedReport()
      : page_(::mmap(nullptr, sizeof(SpawnReport), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (valid()) new (page_) SpawnReport();
  }
  ~SharedReport() {
    if (valid()) ::munmap(page_, sizeof(SpawnReport));
  }
  SharedReport(const SharedReport&) = delete;
  SharedReport& operator=(const SharedReport&) = delete;
  bool valid() const { return page_ != MAP_FAILED; }
  SpawnReport* get() const { return static_cast<SpawnReport*>(page_); }

 private:
  void* page_;
};

// All signals blocked for the clone, so that no handler of ours runs in the child.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_{};
};

struct Cloned {
  pid_t pid = -1;
  UniqueFd pidfd;
  int error = 0;
};

// `cgroup_fd` < 0: the child enters its cgroup itself.
Cloned Clone(const SpawnPlan& plan, int cgroup_fd, SpawnReport* report) {
  int pidfd = -1;
  clone_args arguments{};
  // No CLONE_NEWNET: one is entered that is there (empty_network.h). These three cost 0.1 ms and no
  // wait.
  arguments.flags =
      CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  if (cgroup_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<__u64>(cgroup_fd);
  }
  const BlockSignals blocked;
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) RunSpawnChild(plan, report);
  if (pid < 0) return {-1, UniqueFd(), errno};
  return {static_cast<pid_t>(pid), UniqueFd(pidfd), 0};
}

Error SpawnError(const SpawnSpec& spec, const SpawnPlan& plan, const SpawnReport& report) {
  std::string what = ToString(report.step);
  const auto index = static_cast<std::size_t>(std::max(report.index, 0));
  if (report.step == SpawnStep::kBind && index < plan.mounts.size()) {
    what += " " + (report.index < 0 ? spec.directory : plan.mounts[index].source);
  } else if (report.step == SpawnStep::kExec) {
    what += " " + spec.executable + " inside the private root";
  }
  Error error = FromErrno(report.error, "spawn for " + spec.owner + ": " + what);
  // Nothing that vanished under us: a missing file here is a wrong spec or an incomplete host.
  if (error.code == Code::kNotFound) error.code = Code::kInvalid;
  return error;
}

Result<UniqueFd> OpenOutput(const SpawnSpec& spec, int directory_fd) {
  if (spec.output_file.empty() || spec.output_file.find('/') != std::string::npos) {
    return Invalid("output file must be a plain name: '" + spec.output_file + "'");
  }
  UniqueFd fd(::openat(directory_fd, spec.output_file.c_str(),
                       O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640));
  if (!fd.valid()) return FromErrno(errno, "open " + spec.directory + "/" + spec.output_file);
  return fd;
}

}  // namespace

Result<std::unique_ptr<HostProcessDriver>> HostProcessDriver::Open(HostProcessOptions options,
                                                                   metrics::Registry* metrics) {
  if (options.mount_point.empty() || options.mount_point[0] != '/') {
    return Invalid("the mount point of private roots must be an absolute path");
  }
  std::error_code error;
  std::filesystem::create_directories(options.mount_point, error);
  if (error) return FromErrno(error.value(), "make " + options.mount_point);
  ASSIGN_OR_RETURN(CgroupFolder cgroups, CgroupFolder::Open(options.cgroup_parent));
  ASSIGN_OR_RETURN(UniqueFd network, MakeEmptyNetwork());
  ASSIGN_OR_RETURN(std::string boot_id, ReadKernelFile("/proc/sys/kernel/random/boot_id"));
  while (!boot_id.empty() && boot_id.back() == '\n') boot_id.pop_back();
  ASSIGN_OR_RETURN(std::unique_ptr<ExitWatch> watch, ExitWatch::Start());
  std::unique_ptr<HostProcessDriver> driver(
      new HostProcessDriver(std::move(options), std::move(cgroups), std::move(network),
                            std::move(boot_id), std::move(watch)));
  if (metrics != nullptr) {
    const std::string help = "Processes begun in a private root.";
    driver->spawned_ =
        metrics->AddCounter("forkplane_process_spawns_total", help, {{"result", "ok"}});
    driver->spawn_failed_ =
        metrics->AddCounter("forkplane_process_spawns_total", help, {{"result", "error"}});
    driver->cgroup_fallback_ =
        metrics->AddCounter("forkplane_process_cgroup_fallback_total",
                            "Children that entered their cgroup themselves: clone3 could not.");
  }
  return driver;
}

Result<ProcessRecord> HostProcessDriver::RecordOf(pid_t pid) const {
  ASSIGN_OR_RETURN(const std::string stat, ReadKernelFile(fmt::format("/proc/{}/stat", pid)));
  // The second field, the name in parentheses, may hold anything: count from its last ')'.
  const std::size_t end = stat.rfind(") ");
  if (end == std::string::npos) return Internal(fmt::format("/proc/{}/stat is malformed", pid));
  std::istringstream fields(stat.substr(end + 2));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  ProcessRecord record{pid, 0, boot_id_};
  if (!(fields >> record.start_ticks)) {
    return Internal(fmt::format("/proc/{}/stat is malformed", pid));
  }
  return record;
}

Result<ProcessRecord> HostProcessDriver::Spawn(const SpawnSpec& spec) {
  RETURN_IF_ERROR(CheckOwner(spec.owner));
  if (spec.user == 0 || spec.group == 0) {
    return Invalid("spawn for " + spec.owner + ": uid and gid 0 are refused");
  }
  ASSIGN_OR_RETURN(const auto before, cgroups_.Processes(spec.owner));
  if (before.has_value() && !before->empty()) {
    return Exists("cgroup of " + spec.owner + " already holds a process");
  }
  const Status created = cgroups_.Create(spec.owner, spec.bounds);
  auto record = created.ok() ? SpawnInCgroup(spec) : Result<ProcessRecord>(created.error());
  if (record.ok()) {
    spawned_.Increment();
    return record;
  }
  spawn_failed_.Increment();
  // Nothing may be left of a failed spawn; should even this fail, orphan detection finds it.
  RETURN_IF_ERROR(cgroups_.KillAndRemove(spec.owner, kKillPatience));
  return record;
}

Result<ProcessRecord> HostProcessDriver::SpawnInCgroup(const SpawnSpec& spec) {
  const UniqueFd directory(
      ::open(spec.directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return FromErrno(errno, "open directory " + spec.directory);
  ASSIGN_OR_RETURN(const UniqueFd output, OpenOutput(spec, directory.get()));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return FromErrno(errno, "open /dev/null");
  const UniqueFd tree(static_cast<int>(
      ::syscall(SYS_open_tree, directory.get(), "",
                AT_EMPTY_PATH | OPEN_TREE_CLONE | static_cast<unsigned>(OPEN_TREE_CLOEXEC))));
  if (!tree.valid()) return FromErrno(errno, "clone the mount of " + spec.directory);
  ASSIGN_OR_RETURN(SpawnPlan plan, MakeSpawnPlan(spec, options_.mount_point, tree.get(),
                                                 {null.get(), output.get()}));
  plan.network_fd = network_.get();
  ASSIGN_OR_RETURN(const UniqueFd cgroup, cgroups_.OpenDirectory(spec.owner));
  const SharedReport report;
  if (!report.valid()) return FromErrno(errno, "map a page");

  Cloned child = Clone(plan, cgroup.get(), report.get());
  UniqueFd procs;
  if (child.pid < 0 && (child.error == EINVAL || child.error == EOPNOTSUPP ||
                        child.error == EBUSY || child.error == EACCES)) {
    procs.Reset(::openat(cgroup.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
    plan.cgroup_procs_fd = procs.get();
    if (!procs.valid()) return FromErrno(errno, "open cgroup.procs of " + spec.owner);
    cgroup_fallback_.Increment();
    child = Clone(plan, -1, report.get());
  }
  if (child.pid < 0) return FromErrno(child.error, "clone for " + spec.owner);
  if (report.get()->error != 0) {
    int status = 0;
    ::waitpid(child.pid, &status, 0);
    return SpawnError(spec, plan, *report.get());
  }
  if (report.get()->step != SpawnStep::kExec) {
    int status = 0;
    ::waitpid(child.pid, &status, 0);
    return Unavailable("spawn for " + spec.owner + ": the child was killed before it executed");
  }
  // Not yet reaped, so /proc/PID is surely the child's.
  ASSIGN_OR_RETURN(const ProcessRecord record, RecordOf(child.pid));
  RETURN_IF_ERROR(watch_->Add(spec.owner, record, std::move(child.pidfd)));
  return record;
}

Result<Observed> HostProcessDriver::Observe(const std::string& owner) {
  RETURN_IF_ERROR(CheckOwner(owner));
  ASSIGN_OR_RETURN(const auto pids, cgroups_.Processes(owner));
  Observed observed;
  observed.cgroup = pids.has_value();
  for (const pid_t pid : pids.value_or(std::vector<pid_t>())) {
    auto record = RecordOf(pid);
    // It may end between the two reads.
    if (!record.ok() && record.error().code == Code::kNotFound) continue;
    RETURN_IF_ERROR(record);
    observed.running.push_back(*record);
  }
  return observed;
}

Result<bool> HostProcessDriver::IsAlive(const std::string& owner, const ProcessRecord& record) {
  ASSIGN_OR_RETURN(const Observed observed, Observe(owner));
  return std::find(observed.running.begin(), observed.running.end(), record) !=
         observed.running.end();
}

Status HostProcessDriver::Kill(const std::string& owner) {
  RETURN_IF_ERROR(CheckOwner(owner));
  return cgroups_.KillAndRemove(owner, kKillPatience);
}

Result<std::vector<std::string>> HostProcessDriver::List() { return cgroups_.List(); }

Status HostProcessDriver::Watch(const std::string& owner, const ProcessRecord& record,
                                ExitCallback callback) {
  if (watch_->SetCallback(owner, record, callback)) return OkStatus();
  // Of an earlier daemon. The pidfd is opened first and the start time compared after: so it is
  // this process and not a later one with its number.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, record.pid, 0)));
  const bool ours = pidfd.valid() && record.boot_id == boot_id_ && RecordOf(record.pid).ok() &&
                    *RecordOf(record.pid) == record;
  if (!ours) {
    callback(owner, ExitInfo{});
    return OkStatus();
  }
  RETURN_IF_ERROR(watch_->Add(owner, record, std::move(pidfd)));
  watch_->SetCallback(owner, record, std::move(callback));
  return OkStatus();
}

}  // namespace forkplane::process
