#include "controller/runtime/controller.h"

#include <new>

#include "controller/base/log.h"

namespace forkplane::runtime {
Controller::Controller(ControllerOptions options, Reconciler& reconciler, Clock& clock, Rng& rng,
                       metrics::Registry& registry)
    : options_(std::move(options)),
      reconciler_(reconciler),
      clock_(clock),
      queue_(options_.name, clock, rng, registry, options_.behind) {
  const std::string& name = options_.name;
  const metrics::Labels labels = {{"controller", name}};
  constexpr std::array<const char*, kOutcomes> kNames = {"error", "requeue", "requeue_after",
                                                         "success"};
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    results_[i] = registry.AddCounter("controller_runtime_reconcile_total",
                                      "Reconciliations per controller and result.",
                                      {{"controller", name}, {"result", kNames[i]}});
  }
  errors_ = registry.AddCounter("controller_runtime_reconcile_errors_total",
                                "Reconciliations that failed.", labels);
  terminal_errors_ =
      registry.AddCounter("controller_runtime_terminal_reconcile_errors_total",
                          "Reconciliations that failed in a way no retry helps.", labels);
  time_ = registry.AddHistogram("controller_runtime_reconcile_time_seconds",
                                "Length of time per reconciliation.", labels);
  active_ = registry.AddGauge("controller_runtime_active_workers", "Workers in a reconciliation.",
                              labels);
  registry
      .AddGauge("controller_runtime_max_concurrent_reconciles", "Workers of the controller.",
                labels)
      .Set(options_.workers);
}

Controller::~Controller() { Stop(); }

void Controller::Start() {
  CHECK(workers_.empty());
  for (int i = 0; i < options_.workers; ++i) {
    workers_.emplace_back([this](const std::stop_token& stop) {
      while (ProcessOne(stop)) {
      }
    });
  }
}

void Controller::Stop() {
  for (std::jthread& worker : workers_) worker.request_stop();
  queue_.ShutDown();
  workers_.clear();
}

bool Controller::ProcessOne(const std::stop_token& stop) {
  const std::optional<std::string> key = queue_.Get(stop);
  if (!key) return false;
  Process(*key, stop);
  return true;
}

bool Controller::ProcessReady(const std::stop_token& stop) {
  const std::optional<std::string> key = queue_.TryGet();
  if (!key) return false;
  Process(*key, stop);
  return true;
}

void Controller::Process(const std::string& key, const std::stop_token& stop) {
  const MonotonicTime start = clock_.Now();
  active_.Add(1);
  const Result<Next> result = Reconcile(key, stop);
  active_.Add(-1);
  time_.Observe(std::chrono::duration<double>(clock_.Now() - start).count());
  Settle(key, result);
  queue_.Done(key);
}

// The edge of the thread: without memory one key waits for its backoff, and the daemon lives.
Result<Next> Controller::Reconcile(const std::string& key, const std::stop_token& stop) {
  try {
    return reconciler_.Reconcile(key, stop);
  } catch (const std::bad_alloc&) {
    return Exhausted("no memory is left for this reconciliation: it is tried again");
  }
}

Controller::Outcome Controller::OutcomeOf(const Result<Next>& result) {
  if (result.ok()) return result->after ? Outcome::kRequeueAfter : Outcome::kSuccess;
  const Code code = result.error().code;
  const bool expected = code == Code::kConflict || code == Code::kCancelled;
  return expected ? Outcome::kRequeue : Outcome::kError;
}

// Every outcome: what becomes of the key, one counter, at most one line.
void Controller::Settle(const std::string& key, const Result<Next>& result) {
  const Outcome outcome = OutcomeOf(result);
  results_[static_cast<std::size_t>(outcome)].Increment();
  switch (outcome) {
    case Outcome::kError:
      SettleError(key, result.error());
      return;
    case Outcome::kRequeue:
      log::Debug("reconcile again",
                 {{"controller", options_.name}, {"key", key}, {"err", result.error()}});
      queue_.AddRateLimited(key);
      return;
    case Outcome::kRequeueAfter:
      queue_.Forget(key);
      queue_.AddAfter(key, *result->after);
      return;
    case Outcome::kSuccess:
      queue_.Forget(key);
      return;
  }
}

void Controller::SettleError(const std::string& key, const Error& error) {
  errors_.Increment();
  log::Err("reconcile failed", {{"controller", options_.name}, {"key", key}, {"err", error}});
  if (error.code == Code::kInvalid) {
    terminal_errors_.Increment();
    queue_.Forget(key);
    return;
  }
  queue_.AddRateLimited(key);
}

}  // namespace forkplane::runtime
