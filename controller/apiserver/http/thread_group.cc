#include "controller/apiserver/http/thread_group.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace forkplane::apiserver {
namespace {

constexpr std::size_t kStackBytes = std::size_t{8} * 1024 * 1024;

constexpr std::uintptr_t kPageBytes = 4096;
// Below the frame: the red zone, and what the call itself needs.
constexpr std::uintptr_t kKeptBytes = 2 * kPageBytes;

// Where the stack of this thread ends; null: not known.
void* LowestStackAddress() {
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return nullptr;
  void* lowest = nullptr;
  std::size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &lowest, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  return known ? lowest : nullptr;
}

}  // namespace

[[gnu::noinline]] void ReleaseIdleStack() {
  thread_local void* const stack = LowestStackAddress();
  const auto lowest = reinterpret_cast<std::uintptr_t>(stack);
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const std::uintptr_t end = (frame - kKeptBytes) & ~(kPageBytes - 1);
  if (stack == nullptr || end <= lowest) return;
  ::madvise(stack, end - lowest, MADV_DONTNEED);
}

Result<std::unique_ptr<ThreadGroup>> ThreadGroup::Make() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return FromErrno(errno, "eventfd");
  return std::unique_ptr<ThreadGroup>(new ThreadGroup(std::move(event)));
}

ThreadGroup::~ThreadGroup() {
  const MutexLock lock(mu_);
  CHECK(running_.empty() && finished_.empty());
}

// The lock is held over pthread_create, so that a thread which ends at once finds its own entry
// complete.
Status ThreadGroup::Start(std::function<void()> body) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  int error = 0;
  {
    const MutexLock lock(mu_);
    running_.push_front({this, std::move(body), {}, {}});
    Member& member = running_.front();
    member.self = running_.begin();
    error = ::pthread_create(&member.thread, &attributes, &ThreadGroup::Run, &member);
    if (error != 0) running_.pop_front();
  }
  pthread_attr_destroy(&attributes);
  return error == 0 ? OkStatus() : Status(FromErrno(error, "start a connection thread"));
}

void* ThreadGroup::Run(void* argument) {
  auto* member = static_cast<Member*>(argument);
  ThreadGroup& group = *member->group;
  member->body();
  member->body = nullptr;
  const MutexLock lock(group.mu_);
  group.finished_.splice(group.finished_.begin(), group.running_, member->self);
  // Under the lock, since JoinAll may destroy the group right after it.
  const std::uint64_t one = 1;
  (void)!::write(group.finished_fd_.get(), &one, sizeof(one));
  return nullptr;
}

void ThreadGroup::Reap() {
  std::uint64_t count = 0;
  (void)!::read(finished_fd_.get(), &count, sizeof(count));
  std::list<Member> finished;
  {
    const MutexLock lock(mu_);
    finished.swap(finished_);
  }
  for (const Member& member : finished) ::pthread_join(member.thread, nullptr);
}

void ThreadGroup::JoinAll() {
  while (running() > 0) {
    pollfd fd{finished_fd_.get(), POLLIN, 0};
    ::poll(&fd, 1, -1);
    Reap();
  }
  Reap();
}

std::size_t ThreadGroup::running() const {
  const MutexLock lock(mu_);
  return running_.size();
}

}  // namespace forkplane::apiserver
