// One thread per connection, with a stack we choose and a join for each.
//
// std::thread cannot set the stack size, and the default depends on RLIMIT_STACK (2 MiB when that
// is unlimited). 8 MiB is only address space: 200 watches were measured at 68 KiB each whatever the
// limit.
#pragma once

#include <pthread.h>

#include <functional>
#include <list>
#include <memory>

#include "controller/base/mutex.h"
#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::apiserver {

// Gives back the pages of the calling thread's stack that earlier calls touched and nobody uses
// now: a handshake and a request leave some 100 KiB behind, which a watch would keep for an hour.
// For threads of a group, before a long wait.
void ReleaseIdleStack();

// NOTE Threading: Start, Reap and JoinAll are called by one thread; running() by any.
class ThreadGroup {
 public:
  static Result<std::unique_ptr<ThreadGroup>> Make();
  // Every thread must have been joined.
  ~ThreadGroup();
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  // `body` must not throw.
  Status Start(std::function<void()> body);
  // Joins the threads that have finished.
  void Reap();
  // Waits for all.
  void JoinAll();
  std::size_t running() const;
  // Readable when Reap has something to do.
  int finished_fd() const { return finished_fd_.get(); }

 private:
  struct Member {
    ThreadGroup* group = nullptr;
    std::function<void()> body;
    pthread_t thread{};
    std::list<Member>::iterator self;
  };
  explicit ThreadGroup(UniqueFd finished_fd) : finished_fd_(std::move(finished_fd)) {}
  static void* Run(void* member);

  UniqueFd finished_fd_;
  mutable Mutex mu_;
  std::list<Member> running_ GUARDED_BY(mu_);
  std::list<Member> finished_ GUARDED_BY(mu_);
};

}  // namespace forkplane::apiserver
