#include "drivers/process/exit_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace forkplane::process {
namespace {

constexpr std::uint64_t kWakeToken = 0;

// waitid(P_PIDFD): ours give their status and leave no zombie; others (ECHILD) stay unknown.
ExitInfo Reap(int pidfd) {
  ExitInfo exit;
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) != 0) return exit;
  if (info.si_code == CLD_EXITED) {
    exit.code = info.si_status;
  } else if (info.si_pid != 0) {
    exit.signal = info.si_status;
  }
  return exit;
}

}  // namespace

Result<std::unique_ptr<ExitWatch>> ExitWatch::Start() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return FromErrno(errno, "make an epoll instance");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return FromErrno(errno, "make an eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeToken;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return FromErrno(errno, "watch an eventfd");
  }
  std::unique_ptr<ExitWatch> watch(new ExitWatch(std::move(epoll), std::move(wake)));
  watch->thread_ = std::jthread([self = watch.get()] { self->Run(); });
  return watch;
}

ExitWatch::~ExitWatch() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
}

Status ExitWatch::Add(const std::string& owner, const ProcessRecord& record, UniqueFd pidfd) {
  const int fd = pidfd.get();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  {
    const MutexLock lock(mu_);
    event.data.u64 = next_token_++;
    std::erase_if(owner_of_token_, [&](const auto& item) { return item.second == owner; });
    owner_of_token_[event.data.u64] = owner;
    // Replacing the entry closes an older pidfd, which takes it out of epoll.
    entries_[owner] = {record, std::make_shared<UniqueFd>(std::move(pidfd)), {}, false, {}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return OkStatus();
    const int error = errno;
    owner_of_token_.erase(event.data.u64);
    entries_.erase(owner);
    return FromErrno(error, "watch process of " + owner);
  }
}

bool ExitWatch::SetCallback(const std::string& owner, const ProcessRecord& record,
                            ProcessDriver::ExitCallback callback) {
  const MutexLock lock(mu_);
  const auto found = entries_.find(owner);
  if (found == entries_.end() || found->second.record != record) return false;
  found->second.callback = std::move(callback);
  if (found->second.ended) {
    // Called from our thread, as always, so that the caller may hold locks of its own.
    pending_.push_back(owner);
    ::eventfd_write(wake_.get(), 1);
  }
  return true;
}

void ExitWatch::HandleEnd(std::uint64_t token) {
  std::shared_ptr<UniqueFd> pidfd;
  std::string owner;
  {
    const MutexLock lock(mu_);
    const auto found = owner_of_token_.find(token);
    if (found == owner_of_token_.end()) return;  // replaced meanwhile
    owner = found->second;
    pidfd = entries_[owner].pidfd;
  }
  const ExitInfo exit = Reap(pidfd->get());
  ProcessDriver::ExitCallback callback;
  {
    const MutexLock lock(mu_);
    if (owner_of_token_.erase(token) == 0) return;
    Entry& entry = entries_[owner];
    entry.ended = true;
    entry.exit = exit;
    entry.pidfd = std::make_shared<UniqueFd>();
    callback = std::move(entry.callback);
    entry.callback = nullptr;
    // Without a callback the end is remembered for a Watch that is still to come.
    if (callback) entries_.erase(owner);
  }
  if (callback) callback(owner, exit);
}

void ExitWatch::CallPending() {
  std::vector<std::pair<std::string, Entry>> due;
  {
    const MutexLock lock(mu_);
    for (const std::string& owner : pending_) {
      const auto found = entries_.find(owner);
      if (found == entries_.end() || !found->second.ended || !found->second.callback) continue;
      due.emplace_back(owner, std::move(found->second));
      entries_.erase(found);
    }
    pending_.clear();
  }
  for (auto& [owner, entry] : due) entry.callback(owner, entry.exit);
}

void ExitWatch::Run() {
  std::array<epoll_event, 64> events{};
  while (true) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const std::uint64_t token = events.at(static_cast<std::size_t>(i)).data.u64;
      if (token != kWakeToken) {
        HandleEnd(token);
        continue;
      }
      eventfd_t drained = 0;
      ::eventfd_read(wake_.get(), &drained);
      {
        const MutexLock lock(mu_);
        if (stopping_) return;
      }
      CallPending();
    }
  }
}

}  // namespace forkplane::process
