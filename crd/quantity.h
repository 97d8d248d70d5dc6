// Kubernetes quantities ("256Mi", ".5Gi", "100M", "1500m", "129e6") and Go durations ("30s",
// "1h30m"), kept with the text they were written in: an object read and written again does not
// change.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane::crd {

// A number of bytes, bits per second, or pieces. Value() is the integer rounded up, as
// resource.Quantity does (apimachinery 1.32), whose notation this is but for negative numbers. What
// exceeds 64 bits is refused, where resource.Quantity would use the largest number instead. Two
// quantities are equal when their values are: 1Gi == 1024Mi.
class Quantity {
 public:
  Quantity() = default;  // "0"
  static Result<Quantity> Parse(std::string_view text);
  // Of text known when writing the code; aborts when it does not parse.
  static Quantity Of(std::string_view text);
  // The shortest form with binary suffixes (262144 -> "256Ki"), for bytes.
  static Quantity FromBytes(std::int64_t bytes);
  // The shortest form with decimal suffixes (100000000 -> "100M"), for rates and counts.
  static Quantity FromDecimal(std::int64_t value);

  std::int64_t Value() const { return value_; }
  const std::string& Text() const { return text_; }
  bool operator==(const Quantity& other) const { return value_ == other.value_; }
  auto operator<=>(const Quantity& other) const { return value_ <=> other.value_; }

 private:
  Quantity(std::string text, std::int64_t value) : text_(std::move(text)), value_(value) {}
  std::string text_ = "0";
  std::int64_t value_ = 0;
};

// A Go duration, never negative. Its text is kept; its value is at most a hundred years, so that
// the sum with any time of day or of the monotonic clock fits into 64 bits of nanoseconds.
class Duration {
 public:
  Duration() = default;  // "0s"
  static Result<Duration> Parse(std::string_view text);
  static Duration Of(std::string_view text);  // aborts when it does not parse
  static Duration From(std::chrono::nanoseconds value);

  std::chrono::nanoseconds Value() const { return value_; }
  const std::string& Text() const { return text_; }
  bool operator==(const Duration& other) const { return value_ == other.value_; }
  auto operator<=>(const Duration& other) const { return value_ <=> other.value_; }

 private:
  Duration(std::string text, std::chrono::nanoseconds value)
      : text_(std::move(text)), value_(value) {}
  std::string text_ = "0s";
  std::chrono::nanoseconds value_{0};
};

}  // namespace forkplane::crd
