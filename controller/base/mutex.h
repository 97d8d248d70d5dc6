// std::mutex with clang's thread-safety annotations (-Wthread-safety in the clang preset), and the
// condition variable that goes with it. Never hold a Mutex across a driver call, a store call or a
// callback.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

#if defined(__clang__)
#define FORKPLANE_ATTRIBUTE(x) __attribute__((x))
#else
#define FORKPLANE_ATTRIBUTE(x)
#endif

#define CAPABILITY(x) FORKPLANE_ATTRIBUTE(capability(x))
#define SCOPED_CAPABILITY FORKPLANE_ATTRIBUTE(scoped_lockable)
#define GUARDED_BY(x) FORKPLANE_ATTRIBUTE(guarded_by(x))
#define REQUIRES(...) FORKPLANE_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) FORKPLANE_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) FORKPLANE_ATTRIBUTE(release_capability(__VA_ARGS__))
#define EXCLUDES(...) FORKPLANE_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS FORKPLANE_ATTRIBUTE(no_thread_safety_analysis)

namespace forkplane {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mu_.lock(); }
  void unlock() RELEASE() { mu_.unlock(); }

 private:
  std::mutex mu_;  // NOLINT: the one place
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ACQUIRE(mu) : mu_(mu) { mu_.lock(); }
  ~MutexLock() RELEASE() { mu_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

// The analysis cannot follow the lock through std::condition_variable_any; predicates that read
// guarded fields are lambdas marked NO_THREAD_SAFETY_ANALYSIS.
class CondVar {
 public:
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

  // Until the predicate holds or a stop is asked for; true when the predicate holds.
  template <typename Predicate>
  bool Wait(Mutex& mu, const std::stop_token& stop, Predicate predicate)
      REQUIRES(mu) NO_THREAD_SAFETY_ANALYSIS {
    return cv_.wait(mu, stop, predicate);
  }
  template <typename Predicate>
  bool WaitUntil(Mutex& mu, const std::stop_token& stop,
                 std::chrono::steady_clock::time_point deadline, Predicate predicate)
      REQUIRES(mu) NO_THREAD_SAFETY_ANALYSIS {
    return cv_.wait_until(mu, stop, deadline, predicate);
  }

 private:
  std::condition_variable_any cv_;
};

}  // namespace forkplane
