// Who hears of the end of machines. A driver's threads call while the listener comes and goes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "controller/base/mutex.h"

namespace forkplane::vmm {

// NOTE Threading: thread-safe; the listener is called without a lock. The handle that Listen gives
// ends the listening: when its destructor returns, no call is under way and none will begin, so
// what the listener uses may go. Never destroy it in the listener itself.
// NOTE Lifecycle: shared, because the watches in the process driver may outlive the hypervisor.
class ExitHook : public std::enable_shared_from_this<ExitHook> {
 public:
  using Listener = std::function<void(const std::string& uid)>;

  // The one before hears no more.
  [[nodiscard]] std::shared_ptr<void> Listen(Listener listener) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    listener_ = std::move(listener);
    return std::make_shared<Handle>(shared_from_this(), ++token_);
  }

  void Call(const std::string& uid) EXCLUDES(mu_) {
    Listener listener;
    {
      const MutexLock lock(mu_);
      if (!listener_) return;
      listener = listener_;
      ++calls_;
    }
    listener(uid);
    const MutexLock lock(mu_);
    if (--calls_ == 0) idle_.NotifyAll();
  }

 private:
  struct Handle {
    Handle(std::shared_ptr<ExitHook> hook_in, std::uint64_t token_in)
        : hook(std::move(hook_in)), token(token_in) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { hook->End(token); }
    std::shared_ptr<ExitHook> hook;
    std::uint64_t token;
  };

  void End(std::uint64_t token) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (token == token_) listener_ = nullptr;
    idle_.Wait(mu_, std::stop_token{}, [this]() NO_THREAD_SAFETY_ANALYSIS { return calls_ == 0; });
  }

  Mutex mu_;
  CondVar idle_;
  Listener listener_ GUARDED_BY(mu_);
  std::uint64_t token_ GUARDED_BY(mu_) = 0;
  int calls_ GUARDED_BY(mu_) = 0;
};

}  // namespace forkplane::vmm
