// Faults at the N-th driver call, for convergence and crash tests.
//
// A test runs once without a fault to count the calls (calls()), then once per call and kind:
//   kErrorBefore   the call is not made and fails        kErrorAfter   it is made, and fails
//   kCrashBefore   the process ends before it            kCrashAfter   it ends after it
//   kRaced         another does the very same just before, so ours meets Exists or NotFound
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "drivers/call_hook.h"

namespace forkplane::fault {

enum class Kind { kErrorBefore, kErrorAfter, kCrashBefore, kCrashAfter, kRaced };
inline constexpr std::array<Kind, 5> kKinds = {Kind::kErrorBefore, Kind::kErrorAfter,
                                               Kind::kCrashBefore, Kind::kCrashAfter, Kind::kRaced};
std::string_view ToString(Kind kind);

// How a test inside one process ends "the process": thrown, and caught by the test only.
struct SimulatedCrash {
  std::string at;  // "link.set_master"
};

struct Options {
  int call = 0;  // the first is 1; 0: never
  Kind kind = Kind::kErrorBefore;
  bool reads_too = false;  // count calls that only look, too
  Error error = Unavailable("injected fault");
  std::function<void(const std::string& at)> crash = {};  // default: throw SimulatedCrash
};

// One injector is shared by all decorators of a host, so calls are numbered across drivers.
class Injector final : public drivers::CallHook {
 public:
  explicit Injector(Options options = {}) : options_(std::move(options)) {}

  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>& perform) override;
  std::optional<Error> After(const drivers::CallInfo& call, const Error* error) override;

  int calls() const { return calls_; }
  bool fired() const { return fired_; }

 private:
  void Crash(const drivers::CallInfo& call) const;

  Options options_;
  std::atomic<int> calls_ = 0;
  std::atomic<bool> fired_ = false;
};

// Crash for tests of a whole process: `_exit(kCrashExitCode)`, no destructor, no flush.
inline constexpr int kCrashExitCode = 86;
[[noreturn]] void ExitNow(const std::string& at);

}  // namespace forkplane::fault
