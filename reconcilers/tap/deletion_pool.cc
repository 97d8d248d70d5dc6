#include "reconcilers/tap/deletion_pool.h"

#include "controller/runtime/converge.h"

namespace forkplane::tap {

DeletionPool::DeletionPool(int threads, Done done) : done_(std::move(done)) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { Run(stop); });
  }
}

DeletionPool::~DeletionPool() { Stop(); }

void DeletionPool::Stop() {
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
}

bool DeletionPool::Submit(const std::string& key, Work work) {
  {
    MutexLock lock(mu_);
    if (!pending_.insert(key).second) return false;
    queue_.push_back({key, std::move(work)});
  }
  changed_.NotifyOne();
  return true;
}

bool DeletionPool::IsPending(const std::string& key) const {
  MutexLock lock(mu_);
  return pending_.contains(key);
}

std::optional<Error> DeletionPool::TakeFailure(const std::string& key) {
  MutexLock lock(mu_);
  auto failure = failures_.extract(key);
  if (failure.empty()) return std::nullopt;
  return std::move(failure.mapped());
}

void DeletionPool::Finish(const Job& job) {
  const Status status = job.work();
  {
    MutexLock lock(mu_);
    pending_.erase(job.key);
    if (!status.ok() && !runtime::IsStale(status.error().code)) {
      failures_.insert_or_assign(job.key, status.error());
    }
  }
  done_(job.key, status);
}

std::optional<DeletionPool::Job> DeletionPool::Next(const std::stop_token& stop) {
  const MutexLock lock(mu_);
  while (true) {
    const bool ready =
        changed_.Wait(mu_, stop, [this]() NO_THREAD_SAFETY_ANALYSIS { return !queue_.empty(); });
    if (!ready || stop.stop_requested()) return std::nullopt;
    Yield(stop);
    if (stop.stop_requested()) return std::nullopt;
    if (queue_.empty()) continue;  // another thread was quicker
    Job job = std::move(queue_.front());
    queue_.pop_front();
    return job;
  }
}

void DeletionPool::Run(const std::stop_token& stop) {
  while (const std::optional<Job> job = Next(stop)) Finish(*job);
}

void DeletionPool::Yield(const std::stop_token& stop) {
  changed_.WaitUntil(mu_, stop, RealClock().Now() + kYieldMax,
                     [this]() NO_THREAD_SAFETY_ANALYSIS { return creations_ == 0; });
}

DeletionPool::Creation::Creation(DeletionPool& pool) : pool_(pool) {
  const MutexLock lock(pool_.mu_);
  ++pool_.creations_;
}

DeletionPool::Creation::~Creation() {
  bool wake = false;
  {
    const MutexLock lock(pool_.mu_);
    wake = --pool_.creations_ == 0 && !pool_.queue_.empty();
  }
  if (wake) pool_.changed_.NotifyAll();
}

}  // namespace forkplane::tap
