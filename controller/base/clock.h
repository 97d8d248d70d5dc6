// The only source of time. Code takes a Clock&, so that a test can say what time it is.
#pragma once

#include <atomic>
#include <chrono>
#include <string>

namespace forkplane {

using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;  // for delays and deadlines
  virtual WallTime WallNow() const = 0;   // for timestamps people read
};

// The machine's clocks. Thread-safe; lives as long as the process.
Clock& RealClock();

// Stands still until told. Thread-safe.
class ManualClock final : public Clock {
 public:
  MonotonicTime Now() const override {
    return MonotonicTime(std::chrono::nanoseconds(nanoseconds_.load()));
  }
  WallTime WallNow() const override;
  void Advance(std::chrono::nanoseconds by) { nanoseconds_ += by.count(); }

 private:
  std::atomic<std::int64_t> nanoseconds_{1'000'000'000};
};

// RFC 3339 in UTC: "2026-01-02T03:04:05Z", the form of metav1.Time.
std::string FormatTime(WallTime time);
// With microseconds: "2026-01-02T03:04:05.000006Z", the form of metav1.MicroTime.
std::string FormatMicroTime(WallTime time);

}  // namespace forkplane
