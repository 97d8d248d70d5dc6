// What this daemon remembers of a VM between two passes: backoff, timings, which process it
// watches. It may be lost at any time: a daemon that starts again is right without it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/mutex.h"
#include "controller/base/result.h"
#include "crd/virtual_machine.h"
#include "drivers/process_driver.h"

namespace forkplane::virtual_machine {

struct VmMemory {
  std::string uid = {};
  MonotonicTime seen = {};  // first pass, or end of the last run: a start's total counts from here
  std::optional<MonotonicTime> claimed = {};
  std::optional<MonotonicTime> granted = {};  // the slot
  std::optional<MonotonicTime> network_ready = {};
  std::optional<MonotonicTime> unshaped = {};  // since when the first rates are waited for
  bool was_shaped = false;
  std::optional<MonotonicTime> running = {};
  crd::Timings timings = {};
  std::string started = {};  // RFC 3339, when the process in `watched` was begun or found
  std::optional<process::ProcessRecord> watched = {};
  std::optional<MonotonicTime> asked = {};  // to switch itself off, for the stop begun then

  // The last attempt to start, or the last run, failed.
  int failures = 0;
  MonotonicTime not_before = {};
  std::string failure_reason = {};
  std::string failure = {};
  std::int64_t refused_generation = 0;  // Invalid: nothing but another spec helps
  bool end_noted = false;               // the end of the recorded run was counted

  std::optional<Error> claim_error = {};
  std::string pass_error = {};  // why the last pass did not finish; empty: it did
  // What the last Event of its kind said, so that each is recorded once, when its state begins.
  std::string last_waiting_event = {};  // a waiting: its reason
  std::string last_restart_event = {};  // RestartRequired: its message
  std::string last_error_event = {};    // a failed pass: its message
};

// NOTE Threading: Of gives a reference that belongs to the worker that has the key, until Forget by
// the same worker. Show and Shown hand a copy to others (Explain).
class Memory {
 public:
  // A VM of the same name with another uid begins with an empty memory.
  VmMemory& Of(const std::string& key, const std::string& uid, MonotonicTime now) {
    MutexLock lock(mu_);
    Entry& entry = vms_[key];
    if (entry.live.uid != uid) {
      entry = {};
      entry.live.uid = uid;
      entry.live.seen = now;
    }
    return entry.live;
  }
  void Show(const std::string& key) {
    MutexLock lock(mu_);
    Entry& entry = vms_[key];
    entry.shown = entry.live;
  }
  VmMemory Shown(const std::string& key) const {
    MutexLock lock(mu_);
    const auto found = vms_.find(key);
    return found == vms_.end() ? VmMemory() : found->second.shown;
  }
  void Forget(const std::string& key) {
    MutexLock lock(mu_);
    vms_.erase(key);
  }

 private:
  struct Entry {
    VmMemory live;
    VmMemory shown;
  };
  mutable Mutex mu_;
  std::map<std::string, Entry> vms_ GUARDED_BY(mu_);  // by "namespace/name"
};

}  // namespace forkplane::virtual_machine
