#include "crd/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>

#include "controller/base/check.h"

namespace forkplane::crd {
namespace {

__extension__ using Wide = __int128;
constexpr Wide kMax = std::numeric_limits<std::int64_t>::max();

struct Suffix {
  std::string_view text;
  int power_of_two;  // binary suffixes
  int power_of_ten;
};

constexpr auto kSuffixes = std::to_array<Suffix>({
    {"Ki", 10, 0},
    {"Mi", 20, 0},
    {"Gi", 30, 0},
    {"Ti", 40, 0},
    {"Pi", 50, 0},
    {"Ei", 60, 0},
    {"n", 0, -9},
    {"u", 0, -6},
    {"m", 0, -3},
    {"", 0, 0},
    {"k", 0, 3},
    {"M", 0, 6},
    {"G", 0, 9},
    {"T", 0, 12},
    {"P", 0, 15},
    {"E", 0, 18},
});

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// "e3", "E-2", or one of the table. "E" alone is 10^18, and with digits behind it an exponent.
std::optional<Suffix> ParseSuffix(std::string_view text) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.text == text) return suffix;
  }
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return std::nullopt;
  text.remove_prefix(text[1] == '+' && text.size() > 2 && IsDigit(text[2]) ? 2 : 1);
  int exponent = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  constexpr int kExponentMax = 1000;  // far beyond 64 bits either way
  return Suffix{"", 0, std::clamp(exponent, -kExponentMax, kExponentMax)};
}

// digits * 10^tens, and a bit more when `more`.
struct Decimal {
  Wide digits = 0;
  int tens = 0;
  bool more = false;
};

// So many that 2^60 times them fits 128 bits; further ones only count for rounding up.
constexpr int kDigitsMax = 20;

// "1.5", ".5", "1.": any number of digits, at least one.
std::optional<Decimal> ParseDecimal(std::string_view text) {
  Decimal decimal;
  bool point = false;
  bool any = false;
  int count = 0;
  for (const char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (!IsDigit(c)) return std::nullopt;
    any = true;
    if (count == kDigitsMax) {
      decimal.more = decimal.more || c != '0';
      if (!point) ++decimal.tens;
      continue;
    }
    decimal.digits = decimal.digits * 10 + (c - '0');
    if (decimal.digits != 0) ++count;
    if (point) --decimal.tens;
  }
  if (!any) return std::nullopt;
  return decimal;
}

// Rounded up; nothing when it does not fit 64 bits.
std::optional<std::int64_t> Scale(const Decimal& decimal, const Suffix& suffix) {
  Wide value = decimal.digits << suffix.power_of_two;
  bool more = decimal.more;
  int tens = decimal.tens + suffix.power_of_ten;
  for (; tens > 0 && value != 0; --tens) {
    if (value > kMax) return std::nullopt;
    value *= 10;
  }
  for (; tens < 0 && value != 0; ++tens) {
    more = more || value % 10 != 0;
    value /= 10;
  }
  if (more) ++value;
  if (value > kMax) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

Error BadQuantity(std::string_view text) {
  return Invalid(fmt::format(
      "'{}' is not a quantity: write a number with an optional suffix, as in 256Mi, 100M or 1500m",
      text.substr(0, 64)));
}

struct Unit {
  std::string_view text;
  std::int64_t nanoseconds;
};

// Longer names first: "ms" before "m".
constexpr auto kUnits = std::to_array<Unit>({
    {"ns", 1},
    {"us", 1'000},
    {"\u00b5s", 1'000},
    {"\u03bcs", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
});

constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24) * 365 * 100;

Error BadDuration(std::string_view text) {
  return Invalid(
      fmt::format("'{}' is not a duration: write it as in 30s, 10m or 1h30m", text.substr(0, 64)));
}

// Takes one "1.5h" from the front of `rest`.
std::optional<std::int64_t> TakeTerm(std::string_view& rest) {
  const auto end = rest.find_first_not_of("0123456789.");
  const auto number = ParseDecimal(rest.substr(0, end));
  if (!number || end == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(end);
  for (const Unit& unit : kUnits) {
    if (!rest.starts_with(unit.text)) continue;
    rest.remove_prefix(unit.text.size());
    Wide value = number->digits * unit.nanoseconds;
    if (number->tens > 0) return std::nullopt;
    for (int i = number->tens; i < 0; ++i) value /= 10;
    if (value > kMax) return std::nullopt;
    return static_cast<std::int64_t>(value);
  }
  return std::nullopt;
}

std::string WithLargestUnit(std::int64_t value, std::int64_t step,
                            std::span<const std::string_view> suffixes) {
  std::size_t power = 0;
  while (power + 1 < suffixes.size() && value != 0 && value % step == 0) {
    value /= step;
    ++power;
  }
  return fmt::format("{}{}", value, suffixes[power]);
}

}  // namespace

Result<Quantity> Quantity::Parse(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::string_view digits = text;
  if (negative || text.starts_with('+')) digits.remove_prefix(1);
  const auto end = std::min(digits.find_first_not_of("0123456789."), digits.size());
  const auto number = ParseDecimal(digits.substr(0, end));
  const auto suffix = ParseSuffix(digits.substr(end));
  if (!number || !suffix) return BadQuantity(text);
  if (negative && number->digits != 0) {
    return Invalid(fmt::format("'{}' is negative: write zero or more", text.substr(0, 64)));
  }
  const auto value = Scale(*number, *suffix);
  if (!value) {
    return Invalid(fmt::format("'{}' is more than {}: write that or less", text.substr(0, 64),
                               std::numeric_limits<std::int64_t>::max()));
  }
  return Quantity(std::string(text), *value);
}

Quantity Quantity::Of(std::string_view text) { return Parse(text).value(); }

Quantity Quantity::FromBytes(std::int64_t bytes) {
  constexpr auto kBinary =
      std::to_array<std::string_view>({"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"});
  return {WithLargestUnit(bytes, 1024, kBinary), bytes};
}

Quantity Quantity::FromDecimal(std::int64_t value) {
  constexpr auto kDecimal = std::to_array<std::string_view>({"", "k", "M", "G", "T", "P", "E"});
  return {WithLargestUnit(value, 1000, kDecimal), value};
}

Result<Duration> Duration::Parse(std::string_view text) {
  if (text == "0") return Duration("0", std::chrono::nanoseconds(0));
  std::string_view rest = text;
  if (rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.starts_with('-')) {
    return Invalid(fmt::format("'{}' is negative: write zero or more", text.substr(0, 64)));
  }
  if (rest.empty()) return BadDuration(text);
  Wide total = 0;
  while (!rest.empty()) {
    const auto term = TakeTerm(rest);
    if (!term) return BadDuration(text);
    total += *term;
    if (total > kMax) return BadDuration(text);
  }
  const std::chrono::nanoseconds value(static_cast<std::int64_t>(total));
  return Duration(std::string(text), std::min(value, kLongest));
}

Duration Duration::Of(std::string_view text) { return Parse(text).value(); }

Duration Duration::From(std::chrono::nanoseconds value) {
  const std::int64_t nanoseconds = value.count();
  CHECK(nanoseconds >= 0);
  const std::int64_t seconds = nanoseconds / 1'000'000'000;
  std::string text;
  if (nanoseconds % 1'000'000'000 != 0) {
    text = nanoseconds % 1'000'000 == 0 ? fmt::format("{}ms", nanoseconds / 1'000'000)
                                        : fmt::format("{}ns", nanoseconds);
  } else if (seconds < 60) {
    text = fmt::format("{}s", seconds);
  } else if (seconds < 3600) {
    text = fmt::format("{}m{}s", seconds / 60, seconds % 60);
  } else {
    text = fmt::format("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60);
  }
  return {std::move(text), value};
}

}  // namespace forkplane::crd
