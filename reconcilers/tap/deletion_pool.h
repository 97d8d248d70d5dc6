// Deletes TAPs on threads of its own: one deletion waits ~20 ms for the kernel's RCU, and no create
// may stand behind that (measured: 25 threads delete at 1.2-2 ms each, one at 20 ms). Flushes the
// flows of released addresses there too. Creations come first: the kernel changes one thing of the
// network at a time, and each step of a creation would stand behind a deletion of every thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/mutex.h"
#include "controller/base/result.h"

namespace forkplane::tap {

// NOTE Threading: thread-safe. `work` and `done` run on a thread of the pool, without locks.
class DeletionPool {
 public:
  using Work = std::function<Status()>;
  using Done = std::function<void(const std::string& key, const Status& status)>;

  DeletionPool(int threads, Done done);
  ~DeletionPool();  // stops
  DeletionPool(const DeletionPool&) = delete;
  DeletionPool& operator=(const DeletionPool&) = delete;

  // One at a time per key; a second one while the first is under way is dropped (true: taken).
  bool Submit(const std::string& key, Work work) EXCLUDES(mu_);
  bool IsPending(const std::string& key) const EXCLUDES(mu_);
  // How the last work of the key failed, once: the next pass takes it for its own error. Not what
  // only says that the world moved (NotFound, Exists, Conflict).
  std::optional<Error> TakeFailure(const std::string& key) EXCLUDES(mu_);

  // While one lives, each thread puts its next work off, for kYieldMax at most, so that a host that
  // creates without pause deletes all the same.
  class Creation {
   public:
    explicit Creation(DeletionPool& pool);
    ~Creation();
    Creation(const Creation&) = delete;
    Creation& operator=(const Creation&) = delete;

   private:
    DeletionPool& pool_;
  };
  static constexpr std::chrono::milliseconds kYieldMax{50};

  // Finishes what has begun, drops what waits (the next start sees it again); then `done` is called
  // no more. Final.
  void Stop();

 private:
  struct Job {
    std::string key;
    Work work;
  };
  void Run(const std::stop_token& stop);
  std::optional<Job> Next(const std::stop_token& stop) EXCLUDES(mu_);
  void Yield(const std::stop_token& stop) REQUIRES(mu_);
  void Finish(const Job& job);

  const Done done_;
  mutable Mutex mu_;
  CondVar changed_;
  int creations_ GUARDED_BY(mu_) = 0;
  std::deque<Job> queue_ GUARDED_BY(mu_);
  std::set<std::string> pending_ GUARDED_BY(mu_);
  std::map<std::string, Error> failures_ GUARDED_BY(mu_);
  std::vector<std::jthread> threads_;  // last: they end before the rest goes
};

}  // namespace forkplane::tap
