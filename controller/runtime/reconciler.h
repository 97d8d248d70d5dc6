// What a loop is: a function of a key. No event, no "on create", no "on delete": it reads
// everything again and makes the world match.
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>

#include "controller/base/result.h"

namespace forkplane::runtime {

// When to look again, if nothing happens before.
struct Next {
  std::optional<std::chrono::nanoseconds> after;

  static Next Done() { return {}; }
  static Next After(std::chrono::nanoseconds delay) { return {delay}; }
  bool operator==(const Next&) const = default;
};

// NOTE Threading: Reconcile is called by many workers at once, but never twice at the same time for
// one key: the queue's promise is the lock.
// NOTE Errors: Invalid is terminal (no retry until somebody adds the key again); Conflict is
// retried with backoff and not counted as a failure; Cancelled is what a stopped pass returns; all
// others are logged, counted and retried with backoff.
class Reconciler {
 public:
  virtual ~Reconciler() = default;

  // One pass. Checks `stop` between actions; a stopped pass leaves things as they are.
  virtual Result<Next> Reconcile(const std::string& key, const std::stop_token& stop) = 0;

  // {"desired": ..., "observed": ..., "plan": [...]} as JSON text, for /debug/plan and bug reports.
  // Reads only.
  virtual Result<std::string> Explain(const std::string& key) = 0;
};

}  // namespace forkplane::runtime
