#include "crd/yaml_scalar.h"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "controller/base/foreign_text.h"

namespace forkplane::crd {
namespace {

constexpr auto kTrue = std::to_array<std::string_view>(
    {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"});
constexpr auto kFalse = std::to_array<std::string_view>(
    {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"});
constexpr auto kNull = std::to_array<std::string_view>({"", "~", "null", "Null", "NULL"});

template <std::size_t N>
bool IsOneOf(const std::array<std::string_view, N>& words, std::string_view text) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// A number may have a million digits; a message has not.
std::string Shown(std::string_view text) { return CleanForeignText(text, 64); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

struct Based {
  std::string_view digits;
  int base;
};

Based SplitBase(std::string_view digits) {
  if (digits.size() > 2 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    if (mark == 'x') return {digits.substr(2), 16};
    if (mark == 'o') return {digits.substr(2), 8};
    if (mark == 'b') return {digits.substr(2), 2};
  }
  if (digits.size() > 1 && digits[0] == '0') return {digits.substr(1), 8};
  return {digits, 10};
}

std::optional<Json> AsInteger(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || !IsDigit(text[0])) return std::nullopt;
  const Based number = SplitBase(text);
  std::uint64_t value = 0;
  const char* end = number.digits.data() + number.digits.size();
  const auto [stop, error] = std::from_chars(number.digits.data(), end, value, number.base);
  if (error != std::errc() || stop != end) return std::nullopt;
  if (!negative) return Json(value);
  if (value > std::uint64_t{1} << 63) return std::nullopt;
  return Json(static_cast<std::int64_t>(~value + 1));
}

// ^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$
bool LooksLikeFloat(std::string_view text) {
  const auto digits = [&text] {
    std::size_t count = 0;
    for (; !text.empty() && IsDigit(text[0]); text.remove_prefix(1)) ++count;
    return count;
  };
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const std::size_t before = digits();
  std::size_t after = 0;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    after = digits();
  }
  if (before + after == 0) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return text.empty();
}

}  // namespace

Result<Json> TypePlainScalar(const std::string& text) {
  if (IsOneOf(kNull, text)) return Json(nullptr);
  if (IsOneOf(kTrue, text)) return Json(true);
  if (IsOneOf(kFalse, text)) return Json(false);
  const char first = text[0];
  if (!IsDigit(first) && first != '-' && first != '+' && first != '.') return Json(text);

  std::string plain = text;
  std::erase(plain, '_');
  if (auto integer = AsInteger(plain)) return *std::move(integer);
  if (LooksLikeFloat(plain)) {
    const double value = std::strtod(plain.c_str(), nullptr);
    if (!std::isfinite(value)) return Invalid(fmt::format("{} is out of range", Shown(text)));
    // Go prints 1e3 as 1000, and so an integer field may be written either way.
    constexpr double kExact = 9007199254740992.0;  // 2^53
    if (std::trunc(value) == value && std::abs(value) <= kExact) {
      return Json(static_cast<std::int64_t>(value));
    }
    return Json(value);
  }
  std::string word = plain;
  if (word.starts_with('-') || word.starts_with('+')) word.erase(0, 1);
  if (word == ".inf" || word == ".Inf" || word == ".INF" || word == ".nan" || word == ".NaN" ||
      word == ".NAN") {
    return Invalid(fmt::format("{} has no JSON form: quote it if text is meant", Shown(text)));
  }
  return Json(text);
}

}  // namespace forkplane::crd
