// A reconciler, its queue and its workers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/rng.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/work_queue.h"

namespace forkplane::runtime {

struct ControllerOptions {
  std::string name;  // label of every metric: "tap", "virtual_machine"
  int workers = 1;
  WorkQueue::Behind behind = {};
};

// NOTE Lifecycle: made, wired (informers and boards call Add), Start after the informers it reads
// have synced, Stop. The reconciler and the references must outlive it.
// NOTE Threading: Add may be called from anywhere, also before Start and from the reconciler.
// NOTE Monitoring: controller_runtime_reconcile_total{controller,result} with result error,
// requeue, requeue_after, success; controller_runtime_reconcile_errors_total,
// controller_runtime_terminal_reconcile_errors_total, controller_runtime_reconcile_time_seconds,
// controller_runtime_active_workers, controller_runtime_max_concurrent_reconciles {controller};
// all are there at 0 from the start. And those of WorkQueue.
class Controller {
 public:
  Controller(ControllerOptions options, Reconciler& reconciler, Clock& clock, Rng& rng,
             metrics::Registry& registry);
  ~Controller();  // stops
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  void Add(const std::string& key) { queue_.Add(key); }
  void AddAfter(const std::string& key, std::chrono::nanoseconds delay) {
    queue_.AddAfter(key, delay);
  }
  void AddMerged(const std::string& key, std::chrono::nanoseconds window) {
    queue_.AddMerged(key, window);
  }

  void Start();
  // Asks the passes under way to stop, waits for them. Final.
  void Stop();

  // One pass: waits for a key, reconciles it, decides when it comes again. False when stopped.
  // What every worker does, and what a simulation calls instead of Start.
  bool ProcessOne(const std::stop_token& stop);
  // The same without waiting; false when no key was ready.
  bool ProcessReady(const std::stop_token& stop);

  const std::string& name() const { return options_.name; }
  Reconciler& reconciler() { return reconciler_; }
  WorkQueue& queue() { return queue_; }

 private:
  enum class Outcome : std::uint8_t { kError, kRequeue, kRequeueAfter, kSuccess };
  static constexpr std::size_t kOutcomes = 4;

  void Process(const std::string& key, const std::stop_token& stop);
  Result<Next> Reconcile(const std::string& key, const std::stop_token& stop);
  void Settle(const std::string& key, const Result<Next>& result);
  void SettleError(const std::string& key, const Error& error);
  static Outcome OutcomeOf(const Result<Next>& result);

  ControllerOptions options_;
  Reconciler& reconciler_;
  Clock& clock_;
  WorkQueue queue_;
  std::array<metrics::Counter, kOutcomes> results_;
  metrics::Counter errors_;
  metrics::Counter terminal_errors_;
  metrics::Histogram time_;
  metrics::Gauge active_;
  std::vector<std::jthread> workers_;
};

}  // namespace forkplane::runtime
