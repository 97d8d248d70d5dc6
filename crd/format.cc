#include "crd/format.h"

#include <re2/re2.h>

#include <array>

#include "controller/base/net_address.h"
#include "crd/quantity.h"

namespace forkplane::crd {
namespace {

int Number(std::string_view digits) {
  int value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  return value;
}

bool IsDate(std::string_view text) {
  static const re2::RE2 kShape(R"(\d{4}-\d\d-\d\d)");
  if (!re2::RE2::FullMatch(text, kShape)) return false;
  const int year = Number(text.substr(0, 4));
  const int month = Number(text.substr(5, 2));
  const int day = Number(text.substr(8, 2));
  constexpr std::array<int, 13> kDays = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12) return false;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day >= 1 && day <= kDays[static_cast<std::size_t>(month)] + (month == 2 && leap ? 1 : 0);
}

bool Matches(std::string_view text, const re2::RE2& shape) {
  return re2::RE2::FullMatch(text, shape);
}

bool IsBase64(std::string_view text) {
  static const re2::RE2 kShape("[A-Za-z0-9+/]*={0,2}");
  return text.size() % 4 == 0 && Matches(text, kShape);
}

bool IsUuid(std::string_view text) {
  static const re2::RE2 kShape("(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");
  return Matches(text, kShape);
}

}  // namespace

bool IsRfc3339(std::string_view text) {
  static const re2::RE2 kTime(
      R"([Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d))");
  return text.size() > 10 && IsDate(text.substr(0, 10)) && Matches(text.substr(10), kTime);
}

bool IsOfFormat(std::string_view format, std::string_view text) {
  if (format == "date-time" || format == "datetime") return IsRfc3339(text);
  if (format == "date") return IsDate(text);
  if (format == "ipv4") return ParseIpv4(text).ok();
  if (format == "mac") return ParseMac(text).ok();
  if (format == "duration") return Duration::Parse(text).ok();
  if (format == "byte") return IsBase64(text);
  if (format == "uuid") return IsUuid(text);
  return true;
}

}  // namespace forkplane::crd
