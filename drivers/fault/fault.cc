#include "drivers/fault/fault.h"

#include <unistd.h>

#include <utility>

namespace forkplane::fault {
namespace {

// The number of the call under way in this thread, for After.
thread_local int current_call = 0;

std::string At(const drivers::CallInfo& call) { return fmt::format("{}.{}", call.driver, call.op); }

}  // namespace

std::string_view ToString(Kind kind) {
  switch (kind) {
    case Kind::kErrorBefore:
      return "error-before";
    case Kind::kErrorAfter:
      return "error-after";
    case Kind::kCrashBefore:
      return "crash-before";
    case Kind::kCrashAfter:
      return "crash-after";
    case Kind::kRaced:
      return "raced";
  }
  return "unknown";
}

void ExitNow(const std::string& at) {
  const std::string text = fmt::format("crash at {}\n", at);
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
  _exit(kCrashExitCode);
}

void Injector::Crash(const drivers::CallInfo& call) const {
  if (options_.crash) options_.crash(At(call));
  throw SimulatedCrash{At(call)};
}

std::optional<Error> Injector::Before(const drivers::CallInfo& call,
                                      const std::function<void()>& perform) {
  current_call = 0;
  if (!call.mutates && !options_.reads_too) return std::nullopt;
  current_call = ++calls_;
  if (current_call != options_.call) return std::nullopt;
  fired_ = true;
  if (options_.kind == Kind::kErrorBefore) return options_.error;
  if (options_.kind == Kind::kCrashBefore) Crash(call);
  if (options_.kind == Kind::kRaced) perform();
  return std::nullopt;
}

std::optional<Error> Injector::After(const drivers::CallInfo& call, const Error*) {
  const int number = std::exchange(current_call, 0);
  if (number == 0 || number != options_.call) return std::nullopt;
  if (options_.kind == Kind::kErrorAfter) return options_.error;
  if (options_.kind == Kind::kCrashAfter) Crash(call);
  return std::nullopt;
}

}  // namespace forkplane::fault
