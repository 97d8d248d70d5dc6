#include "controller/apiserver/rest/human_duration.h"

#include <fmt/format.h>

#include <charconv>

namespace forkplane::apiserver {
namespace {

// "3h20m", or "3h" when the smaller part is zero.
std::string TwoUnits(std::int64_t big, char big_unit, std::int64_t small, char small_unit) {
  if (small == 0) return fmt::format("{}{}", big, big_unit);
  return fmt::format("{}{}{}{}", big, big_unit, small, small_unit);
}

// Digits [at, at+count) of the text as a number; -1: not digits.
int Digits(std::string_view text, std::size_t at, std::size_t count) {
  if (text.size() < at + count) return -1;
  int value = 0;
  const char* begin = text.data() + at;
  const auto [end, error] = std::from_chars(begin, begin + count, value);
  return error == std::errc{} && end == begin + count && value >= 0 ? value : -1;
}

// "Z", "+01:00" or "-01:00": minutes east of UTC.
std::optional<int> ZoneMinutes(std::string_view zone) {
  if (zone == "Z" || zone == "z") return 0;
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') return std::nullopt;
  const int hours = Digits(zone, 1, 2);
  const int minutes = Digits(zone, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  return (zone[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
}

}  // namespace

std::string HumanDuration(std::chrono::seconds age) {
  const std::int64_t seconds = age.count();
  if (seconds < -1) return "<invalid>";  // a clock that is a second behind is not worth a word
  if (seconds < 0) return "0s";
  if (seconds < 120) return fmt::format("{}s", seconds);
  const std::int64_t minutes = seconds / 60;
  if (minutes < 10) return TwoUnits(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return fmt::format("{}m", minutes);
  const std::int64_t hours = minutes / 60;
  if (hours < 8) return TwoUnits(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return fmt::format("{}h", hours);
  const std::int64_t days = hours / 24;
  if (days < 8) return TwoUnits(days, 'd', hours % 24, 'h');
  if (days < std::int64_t{2} * 365) return fmt::format("{}d", days);
  if (days < std::int64_t{8} * 365) return TwoUnits(days / 365, 'y', days % 365, 'd');
  return fmt::format("{}y", days / 365);
}

std::optional<WallTime> ParseTime(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':') {
    return std::nullopt;
  }
  const int year = Digits(text, 0, 4);
  const int month = Digits(text, 5, 2);
  const int day = Digits(text, 8, 2);
  const int hour = Digits(text, 11, 2);
  const int minute = Digits(text, 14, 2);
  const int second = Digits(text, 17, 2);
  if (year < 0 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  std::size_t zone_at = 19;
  if (text[zone_at] == '.') {
    ++zone_at;
    while (zone_at < text.size() && text[zone_at] >= '0' && text[zone_at] <= '9') ++zone_at;
  }
  const std::optional<int> zone = ZoneMinutes(text.substr(zone_at));
  if (!zone) return std::nullopt;
  return WallTime(std::chrono::sys_days(date) + std::chrono::hours(hour) +
                  std::chrono::minutes(minute - *zone) + std::chrono::seconds(second));
}

std::string HumanAge(std::string_view rfc3339, WallTime now) {
  if (rfc3339.empty()) return "<unknown>";
  const std::optional<WallTime> time = ParseTime(rfc3339);
  if (!time) return "<invalid>";
  return HumanDuration(std::chrono::floor<std::chrono::seconds>(now - *time));
}

}  // namespace forkplane::apiserver
