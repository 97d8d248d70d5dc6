// Status is reported, not depended on: a loop says what status it wants and goes on; the writer
// merges and writes.
//
// What it promises:
//   - the first change of a condition's status is written at once, whatever follows within 50 ms is
//     merged into one write per object;
//   - a False between two Trues is never swallowed: it gets a write of its own;
//   - lastTransitionTime is its business: kept while a condition's status stays, now when it flips;
//   - Want never waits for the store. A conflict is retried on the object as it is then.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/mutex.h"
#include "controller/runtime/limits.h"
#include "controller/store/object_store.h"

namespace forkplane::runtime {

// NOTE Threading: Want from anywhere; a few threads write, one object at a time each.
// NOTE Monitoring: forkplane_status_writes_total{code} (ok and the error codes),
// forkplane_status_merged_total, forkplane_status_dropped_total, forkplane_status_pending.
class StatusWriter {
 public:
  struct Options {
    int threads = 4;  // several, so that their writes share one fsync
    std::chrono::nanoseconds merge_window = kStatusMergeWindow;
  };

  StatusWriter(store::ObjectStore& store, Clock& clock, metrics::Registry& registry,
               Options options);
  ~StatusWriter();  // stops
  StatusWriter(const StatusWriter&) = delete;
  StatusWriter& operator=(const StatusWriter&) = delete;

  // The whole status the object with this uid shall have, as a JSON object. One loop per kind. An
  // object that is gone or has another uid is silently left alone. A text that is no JSON object is
  // a bug of ours: logged and dropped.
  void Want(const store::ObjectKey& key, const std::string& uid, const std::string& status)
      EXCLUDES(mu_);

  void Start();
  // Writes what waits, for at most `patience`, then ends the threads. Final.
  void Stop(std::chrono::milliseconds patience = std::chrono::seconds(2));

  // Writes one object that is due now; false when there is none. For simulations.
  bool ProcessDue();
  // Waits until nothing waits or is being written; false at the deadline.
  bool WaitIdle(const std::stop_token& stop, MonotonicTime deadline) EXCLUDES(mu_);

 private:
  using Conditions = std::map<std::string, std::string>;  // type -> status
  struct Wish {
    std::string status;
    Conditions conditions;
  };
  // One object that has wishes, or had one within the last merge window.
  struct Entry {
    store::ObjectKey key;
    std::deque<Wish> wishes;                       // to be written in this order
    Conditions written;                            // as last taken to be written
    std::map<std::string, MonotonicTime> flipped;  // when a condition's change was last hurried
    std::optional<MonotonicTime> due;              // as in due_; nothing while in flight
    MonotonicTime next_due = {};                   // while in flight: when to go on
    bool in_flight = false;
    int failures = 0;
  };
  struct Job {
    std::string uid;
    store::ObjectKey key;
    Wish wish;
  };

  void Run(const std::stop_token& stop);
  void WaitForWork(const std::stop_token& stop) EXCLUDES(mu_);
  std::optional<Job> TakeDueLocked() REQUIRES(mu_);
  void ScheduleLocked(const std::string& uid, Entry& entry, MonotonicTime due) REQUIRES(mu_);
  bool AddWishLocked(Entry& entry, Wish wish) REQUIRES(mu_);
  Status Write(const Job& job);
  void Finish(const Job& job, const Status& status) EXCLUDES(mu_);
  void RetryLocked(const Job& job, Entry& entry) REQUIRES(mu_);
  bool IdleLocked() const REQUIRES(mu_);
  void CountWrite(const Status& status);

  store::ObjectStore& store_;
  Clock& clock_;
  Options options_;
  std::map<std::string, metrics::Counter> writes_;  // by code, "ok" too
  metrics::Counter merged_;
  metrics::Counter dropped_;
  metrics::Gauge pending_;
  mutable Mutex mu_;
  CondVar changed_;
  std::map<std::string, Entry> entries_ GUARDED_BY(mu_);  // by uid
  // Every entry that is not in flight is here once: when its wish is to be written, or, without a
  // wish, when it may be forgotten.
  std::set<std::pair<MonotonicTime, std::string>> due_ GUARDED_BY(mu_);
  std::vector<std::jthread> threads_;
};

}  // namespace forkplane::runtime
