#include "drivers/storage/process_template_holder.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "drivers/storage/beneath.h"
#include "drivers/storage/unix_socket.h"

namespace forkplane::storage {
namespace {

constexpr char kOwnerPrefix[] = "template-";
constexpr char kSocketName[] = "socket";
constexpr char kInnerExecutable[] = "/holder";
// A holder never begins another process or thread.
constexpr std::uint64_t kPidsMax = 8;
// The last to go when memory runs out: itself it has 2 MiB, and the template's pages are free only
// once no fork maps them. Lost, the memory would be loaded again beside the pages that forks still
// have: twice, when there is too little. Not -1000: a host whose templates alone are too much must
// be able to end one. No bound of bytes, for the same reason: the template is charged to whoever
// wrote it (the daemon), so a holder reaches no bound but by a mistake.
constexpr int kOomScoreAdj = -900;

constexpr int kListenerFd = process::PassedFdNumber(0);
constexpr int kMemoryFd = process::PassedFdNumber(1);

Status SetReceivePatience(int socket, std::chrono::milliseconds patience) {
  const timeval time{patience.count() / 1000, patience.count() % 1000 * 1000};
  if (::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0) return OkStatus();
  return FromErrno(errno, "set the patience of a socket");
}

Result<std::uint64_t> SizeOf(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return FromErrno(errno, "stat a template");
  return static_cast<std::uint64_t>(info.st_size);
}

}  // namespace

Result<std::unique_ptr<ProcessTemplateHolder>> ProcessTemplateHolder::Open(
    ProcessTemplateHolderOptions options, process::ProcessDriver* processes) {
  if (options.user == 0 || options.group == 0) {
    return Invalid("template holders need a uid and gid other than 0");
  }
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error) return FromErrno(error.value(), "make " + options.directory);
  if (::chmod(options.directory.c_str(), 0700) != 0) {
    return FromErrno(errno, "chmod " + options.directory);
  }
  options.executable = std::filesystem::canonical(options.executable, error).string();
  if (error) return FromErrno(error.value(), "find " + options.executable);
  ASSIGN_OR_RETURN(auto binds, process::BindsOf(options.executable));
  for (process::Bind& bind : binds) {
    if (bind.host_path == options.executable) bind.path = kInnerExecutable;
  }
  return std::unique_ptr<ProcessTemplateHolder>(
      new ProcessTemplateHolder(std::move(options), processes, std::move(binds)));
}

Status ProcessTemplateHolder::Keep(const std::string& uid, const UniqueFd& memfd) {
  RETURN_IF_ERROR(CheckName(uid));
  if (!IsSealed(memfd.get())) return Invalid("template of " + uid + " is not sealed");
  ASSIGN_OR_RETURN(const std::uint64_t size, SizeOf(memfd.get()));
  ASSIGN_OR_RETURN(const auto held, Get(uid));
  if (held.has_value()) {
    ASSIGN_OR_RETURN(const std::uint64_t held_size, SizeOf(held->get()));
    if (held_size == size) return OkStatus();
    return Conflict("another template is held for " + uid);
  }
  RETURN_IF_ERROR(Drop(uid));  // what is left of one whose socket is gone
  if (::mkdir(DirectoryOf(uid).c_str(), 0700) != 0 && errno != EEXIST) {
    return FromErrno(errno, "make " + DirectoryOf(uid));
  }
  ASSIGN_OR_RETURN(const UniqueFd listener, ListenAt(DirectoryOf(uid), kSocketName));
  process::SpawnSpec spec;
  spec.owner = kOwnerPrefix + uid;
  spec.executable = kInnerExecutable;
  spec.arguments = options_.arguments;
  spec.directory = DirectoryOf(uid);
  spec.output_file = "holder.log";
  spec.binds = binds_;
  spec.fds = {listener.get(), memfd.get()};
  spec.user = options_.user;
  spec.group = options_.group;
  spec.bounds.pids_max = kPidsMax;
  spec.oom_score_adj = kOomScoreAdj;
  RETURN_IF_ERROR(processes_->Spawn(spec));
  return OkStatus();
}

Lookup<UniqueFd> ProcessTemplateHolder::Get(const std::string& uid) {
  RETURN_IF_ERROR(CheckName(uid));
  auto socket = ConnectTo(DirectoryOf(uid), kSocketName, options_.patience);
  if (!socket.ok()) {
    // No socket, or one that nobody listens on: nobody ever will, the listener went with its
    // holder. A holder whose queue is full is Unavailable as well, and holds all the same.
    const bool gone =
        socket.error().code == Code::kNotFound || socket.error().sys_errno == ECONNREFUSED;
    if (gone) return std::optional<UniqueFd>();
    return std::move(socket).error().WithContext("template of " + uid);
  }
  RETURN_IF_ERROR(SetReceivePatience(socket->get(), options_.patience));
  auto fd = ReceiveFd(socket->get());
  if (fd.ok() && fd->valid()) {
    if (!IsSealed(fd->get())) return Internal("what is held for " + uid + " is not sealed");
    return std::optional(std::move(*fd));
  }
  return WhyNoAnswer(uid, std::move(fd));
}

// Connected, and nothing came: it ended meanwhile, or it is slow. Only its cgroup can tell.
Lookup<UniqueFd> ProcessTemplateHolder::WhyNoAnswer(const std::string& uid,
                                                    Result<UniqueFd> received) {
  ASSIGN_OR_RETURN(const process::Observed observed, processes_->Observe(kOwnerPrefix + uid));
  if (observed.running.empty()) return std::optional<UniqueFd>();
  const std::string what = "template of " + uid;
  if (!received.ok()) return std::move(received).error().WithContext(what);
  return Unavailable(what + ": its holder closed the connection");
}

Status ProcessTemplateHolder::Drop(const std::string& uid) {
  RETURN_IF_ERROR(CheckName(uid));
  RETURN_IF_ERROR(processes_->Kill(kOwnerPrefix + uid));
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenDirectory(options_.directory));
  return RemoveTree(folder.get(), uid, 16);
}

Result<std::vector<TemplateInfo>> ProcessTemplateHolder::List() {
  ASSIGN_OR_RETURN(const auto uids, ListDirectories(options_.directory));
  std::vector<TemplateInfo> templates;
  for (const std::string& uid : uids) {
    ASSIGN_OR_RETURN(const auto fd, Get(uid));
    struct stat info {};
    if (!fd.has_value() || ::fstat(fd->get(), &info) != 0) continue;
    templates.push_back({uid, static_cast<std::uint64_t>(info.st_size),
                         static_cast<std::uint64_t>(info.st_blocks) * 512});
  }
  return templates;
}

int TemplateHolderMain() {
  while (true) {
    const UniqueFd peer(::accept4(kListenerFd, nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer.valid()) {
      if (errno == EINTR || errno == ECONNABORTED || errno == EMFILE) continue;
      return 1;
    }
    ucred who{};
    socklen_t length = sizeof who;
    if (::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) != 0 || who.uid != 0) {
      continue;
    }
    static_cast<void>(SendFd(peer.get(), kMemoryFd).ok());
  }
}

}  // namespace forkplane::storage
