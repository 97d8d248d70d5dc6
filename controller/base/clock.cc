#include "controller/base/clock.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace forkplane {
namespace {

class SystemClock final : public Clock {
 public:
  MonotonicTime Now() const override { return std::chrono::steady_clock::now(); }
  WallTime WallNow() const override { return std::chrono::system_clock::now(); }
};

// 2025-01-01T00:00:00Z: a manual clock shows plausible dates.
constexpr std::chrono::seconds kManualEpoch{1'735'689'600};

std::string FormatSeconds(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)));
}

}  // namespace

Clock& RealClock() {
  static SystemClock clock;
  return clock;
}

WallTime ManualClock::WallNow() const {
  return WallTime(kManualEpoch + std::chrono::duration_cast<WallTime::duration>(
                                     std::chrono::nanoseconds(nanoseconds_.load())));
}

std::string FormatTime(WallTime time) { return FormatSeconds(time) + "Z"; }

std::string FormatMicroTime(WallTime time) {
  const auto fraction = time - std::chrono::floor<std::chrono::seconds>(time);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(fraction).count();
  return fmt::format("{}.{:06}Z", FormatSeconds(time), micros);
}

}  // namespace forkplane
