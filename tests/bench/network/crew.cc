#include "tests/bench/network/crew.h"

namespace forkplane::bench {

Crew::Crew() {
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads_.emplace_back([this, thread](const std::stop_token& stop) { Work(thread, stop); });
  }
}

Crew::~Crew() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

Status Crew::Run(std::uint32_t count, const Each& each) {
  const MutexLock lock(mu_);
  outcomes_.assign(kThreads, OkStatus());
  busy_ = kThreads;
  job_ = {count, &each, job_.turn + 1};
  begun_.NotifyAll();
  ended_.Wait(mu_, {}, [this]() NO_THREAD_SAFETY_ANALYSIS { return busy_ == 0; });
  for (Status& outcome : outcomes_) RETURN_IF_ERROR(std::move(outcome));
  return OkStatus();
}

void Crew::Work(std::uint32_t thread, const std::stop_token& stop) {
  std::uint64_t done = 0;
  while (true) {
    Job job;
    {
      const MutexLock lock(mu_);
      const auto called = [&]() NO_THREAD_SAFETY_ANALYSIS { return job_.turn != done; };
      if (!begun_.Wait(mu_, stop, called)) return;
      job = job_;
    }
    Status outcome = OkStatus();
    for (std::uint32_t n = thread + 1; n <= job.count && outcome.ok(); n += kThreads) {
      outcome = (*job.each)(n);
    }
    done = job.turn;
    const MutexLock lock(mu_);
    outcomes_[thread] = std::move(outcome);
    if (--busy_ == 0) ended_.NotifyAll();
  }
}

}  // namespace forkplane::bench
