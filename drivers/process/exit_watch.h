// One thread that waits for the end of any number of processes through their pidfds, reaps those
// that are our children, and calls back. No polling.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "controller/base/mutex.h"
#include "controller/base/unique_fd.h"
#include "drivers/process_driver.h"

namespace forkplane::process {

class ExitWatch {
 public:
  static Result<std::unique_ptr<ExitWatch>> Start();
  ~ExitWatch();

  // Takes over the pidfd of `owner`; an earlier one of the same owner is forgotten.
  Status Add(const std::string& owner, const ProcessRecord& record, UniqueFd pidfd);
  // Sets the callback of a process that was added; false when the record is another or unknown.
  bool SetCallback(const std::string& owner, const ProcessRecord& record,
                   ProcessDriver::ExitCallback callback);

 private:
  struct Entry {
    ProcessRecord record;
    std::shared_ptr<UniqueFd> pidfd;  // shared with a reap in progress
    ProcessDriver::ExitCallback callback;
    bool ended = false;
    ExitInfo exit;
  };
  ExitWatch(UniqueFd epoll, UniqueFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  void Run();
  void HandleEnd(std::uint64_t token);
  void CallPending();

  UniqueFd epoll_;
  UniqueFd wake_;
  Mutex mu_;
  // Tokens, not descriptors, are epoll's keys: a descriptor number may be another file by the time
  // its event is read.
  std::map<std::uint64_t, std::string> owner_of_token_ GUARDED_BY(mu_);
  std::map<std::string, Entry> entries_ GUARDED_BY(mu_);
  std::vector<std::string> pending_ GUARDED_BY(mu_);  // callbacks that came after the end
  std::uint64_t next_token_ GUARDED_BY(mu_) = 1;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

}  // namespace forkplane::process
