// The objects of a directory, kept in the store as the directory says: `--manifests DIR`.
//
// Each pass: scan the tree, give every document a verdict (manifest.h, desired.h), apply what is
// understood (apply_plan.h), and prune, or hold with a reason, what is owned and in no document
// (prune_plan.h). Level-triggered: a pass needs no memory of the one before but the record of what
// was applied (record_store.h), so a restart knows what vanished while the daemon was down.
//
// Nothing is pruned in a pass that does not understand all, while git works in the tree, or before
// the tree was left alone for the settle time. What is held is told: by a Hold for the Host's
// condition ManifestsHeld, a Notice, metrics and the log.
//
// NOTE Threading: one thread runs Run (or a test calls Sync); callbacks are called on it. Wake may
// come from any thread.
// NOTE Performance: a pass over unchanged files costs their reading and parsing and one Get each.
// NOTE Monitoring: forkplane_manifests_* (docs/metrics.md); each new problem is logged once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/rng.h"
#include "controller/base/unique_fd.h"
#include "controller/manifests/applier.h"
#include "controller/manifests/pruner.h"
#include "controller/manifests/tree_watch.h"

namespace forkplane::manifests {

struct DirectorySourceOptions {
  std::string path;
  std::string record_path;  // the file of the record store
  std::string host_name = {};
  // The safety net under inotify; also reverts what others changed in fields the files set.
  std::chrono::milliseconds resync{30'000};  // +-10 %
  // How long the tree must have been left alone before absence counts.
  std::chrono::milliseconds settle{10'000};
  std::optional<std::size_t> prune_max = {};  // empty: half of what is owned
  // What passes by itself is told as a hold only when it has lasted this long and something waits.
  std::chrono::milliseconds patience{60'000};
  std::function<void(const Notice&)> on_notice = {};
  // Called when it becomes another; nothing: nothing is held any more.
  std::function<void(const std::optional<Hold>&)> on_held = {};
  metrics::Registry* registry = nullptr;
};

struct SyncReport {
  int created = 0;
  int updated = 0;
  int unchanged = 0;
  int pruned = 0;
  std::vector<Problem> problems;     // of documents, files and writes
  std::vector<Problem> passed_over;  // no problem; said in the log
  std::vector<Notice> notices;
  std::optional<Hold> pass_hold;  // why nothing was pruned at all
  std::vector<Kept> kept;         // what left the directory and was not pruned
  std::string token;              // confirms `kept`
  std::optional<Hold> told;       // as the Host's condition says it
  bool retry_soon = false;        // something is expected to work, or to be known, in a moment
  std::optional<std::chrono::milliseconds> settles_in = {};
};

class DirectorySource {
 public:
  // All must outlive the source.
  DirectorySource(DirectorySourceOptions options, store::ObjectStore& objects,
                  const crd::TypeRegistry& types, Clock& clock, Rng& rng);

  // One pass.
  SyncReport Sync();
  // Passes at start, after every change, at every Wake and at every resync, until asked to stop.
  void Run(const std::stop_token& stop);
  // An operator may have decided about what is held.
  void Wake();

 private:
  struct Metrics {
    explicit Metrics(metrics::Registry* registry);
    metrics::Gauge problems;
    metrics::Gauge objects;
    metrics::Gauge passed_over;
    metrics::Gauge held;
    metrics::Gauge held_objects;
    metrics::Counter created;
    metrics::Counter updated;
    metrics::Counter pruned;
    metrics::Counter reverted;
    metrics::Gauge last_success;
  };

  SyncReport SyncOnce();
  Status OpenRecords();
  void ApplyAndPrune(const TreeScan& scan, const Desired& desired, SyncReport& report);
  std::optional<Hold> WhyNothingIsPruned(const TreeScan& scan, const Desired& desired,
                                         const ApplyReport& applied, SyncReport& report);
  std::optional<Hold> WhatIsTold(const SyncReport& report, const PruneReport& pruned);
  void Announce(const SyncReport& report);
  void AnnounceProblems(const SyncReport& report);
  void AnnounceHold(const SyncReport& report);
  void Count(const SyncReport& report);
  void Notify(const Notice& notice) const;
  std::chrono::milliseconds NextWait(const SyncReport& report);
  // True: stop was asked for.
  bool WaitForChange(int stop_fd, std::chrono::milliseconds patience);

  const DirectorySourceOptions options_;
  store::ObjectStore& objects_;
  const crd::TypeRegistry& types_;
  Clock& clock_;
  Rng& rng_;
  Metrics metrics_;
  const UniqueFd wake_;
  std::optional<RecordStore> records_;  // empty: it could not be opened yet
  std::optional<Applier> applier_;
  std::optional<Pruner> pruner_;
  std::optional<TreeWatch> watch_;
  std::optional<std::uint64_t> fingerprint_;  // of the last scan
  MonotonicTime quiet_since_{};               // when the tree was first seen so
  std::optional<MonotonicTime> held_since_;   // by whole passes
  std::set<Problem> known_problems_;
  std::set<Problem> known_passed_over_;
  std::optional<Hold> told_;
  std::chrono::milliseconds backoff_{0};
};

}  // namespace forkplane::manifests
