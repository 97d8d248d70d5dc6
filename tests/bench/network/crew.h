// The callers of a bench: threads that are there before the clock starts, in the network namespace
// of the thread that makes them.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "controller/base/mutex.h"
#include "controller/base/result.h"

namespace forkplane::bench {

// NOTE Threading: one Run at a time.
class Crew {
 public:
  // So many do what there is to do at once; of more, the others wait.
  static constexpr std::uint32_t kThreads = 25;

  Crew();
  ~Crew();  // waits for them
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // `each(n)` for n = 1..count, by as many threads as there are; all begin together. Each stops at
  // its first error; the first thread's wins.
  using Each = std::function<Status(std::uint32_t)>;
  Status Run(std::uint32_t count, const Each& each) EXCLUDES(mu_);

 private:
  struct Job {
    std::uint32_t count = 0;
    const Each* each = nullptr;
    std::uint64_t turn = 0;
  };
  void Work(std::uint32_t thread, const std::stop_token& stop) EXCLUDES(mu_);

  Mutex mu_;
  CondVar begun_;
  CondVar ended_;
  Job job_ GUARDED_BY(mu_);
  std::uint32_t busy_ GUARDED_BY(mu_) = 0;
  std::vector<Status> outcomes_ GUARDED_BY(mu_);
  std::vector<std::jthread> threads_;  // last: they end before the rest goes
};

}  // namespace forkplane::bench
