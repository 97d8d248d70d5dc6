// The objects of a directory, kept in the store as the directory says: `--manifests DIR`.
//
// Each pass reads the whole tree, applies every document (three-way merge, so what others set, as a
// scale or a status, stays) and prunes the objects that came from the directory and are in it no
// more. Level-triggered: a pass needs no memory of the one before, so a restart prunes what
// vanished while the daemon was down.
//
// Nothing is pruned from a pass that does not know all: a file or the directory cannot be read, a
// document cannot be parsed or does not say which object it is, a list of owned objects failed, a
// file changed within the last second (it may be half written), or the directory is empty when it
// was not seen filled on this file system since the start (a volume that is not mounted).
//
// NOTE Threading: one thread runs Run (or a test calls Sync); the callback is called on it.
// NOTE Performance: a pass over unchanged files costs their reading and parsing and one Get each.
// NOTE Monitoring: forkplane_manifests_* (docs/metrics.md); each new problem is logged once.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/rng.h"
#include "controller/manifests/applier.h"
#include "controller/manifests/manifest.h"
#include "controller/manifests/tree_watch.h"

namespace forkplane::manifests {

struct DirectorySourceOptions {
  std::string path;
  // The safety net under inotify; also reverts what others changed in fields the files set.
  std::chrono::milliseconds resync{30'000};  // +-10 %
  // How long files must have been left alone before their absence counts.
  std::chrono::milliseconds settle{1'000};
  // Called once for each new problem, for an Event; may be empty.
  std::function<void(const Problem&)> on_problem = {};
  metrics::Registry* registry = nullptr;
};

struct SyncReport {
  int created = 0;
  int updated = 0;
  int unchanged = 0;
  int pruned = 0;
  std::vector<Problem> problems;
  std::string prune_held;   // why nothing was pruned; "" when pruning was done
  bool retry_soon = false;  // something is expected to work, or to be known, in a moment
};

class DirectorySource {
 public:
  // All must outlive the source.
  DirectorySource(DirectorySourceOptions options, store::ObjectStore& objects,
                  const crd::TypeRegistry& types, Clock& clock, Rng& rng);

  // One pass.
  SyncReport Sync();
  // Passes at start, after every change and at every resync, until asked to stop.
  void Run(const std::stop_token& stop);

 private:
  struct Metrics {
    explicit Metrics(metrics::Registry* registry);
    metrics::Gauge problems;
    metrics::Gauge objects;
    metrics::Counter created;
    metrics::Counter updated;
    metrics::Counter pruned;
    metrics::Gauge last_success;
  };

  void ApplyAll(const ParsedTree& tree, std::set<store::ObjectKey>& wanted, SyncReport& report);
  std::string WhyPruneIsHeld(const TreeScan& scan, const ParsedTree& tree, SyncReport& report);
  void Prune(const std::set<store::ObjectKey>& wanted, SyncReport& report);
  void Announce(const SyncReport& report);
  std::chrono::milliseconds NextWait(const SyncReport& report);
  // True: stop was asked for.
  bool WaitForChange(int stop_fd, std::chrono::milliseconds patience);

  const DirectorySourceOptions options_;
  Applier applier_;
  Clock& clock_;
  Rng& rng_;
  Metrics metrics_;
  std::optional<TreeWatch> watch_;
  std::optional<std::uint64_t> filled_device_;  // where documents were last seen
  std::set<Problem> known_problems_;
  std::chrono::milliseconds backoff_{0};
};

}  // namespace forkplane::manifests
