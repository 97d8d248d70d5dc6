#include "controller/base/foreign_text.h"

#include <algorithm>

#include "controller/base/check.h"

namespace forkplane {
namespace {

constexpr std::string_view kCut = "...";

// Characters that end a line or steer a terminal instead of being seen.
bool IsControl(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  const auto second = static_cast<unsigned char>(character[1]);
  if (character.size() == 2) return first == 0xc2 && second < 0xa0;  // C1: U+0080 to U+009F
  return character == "\u2028" || character == "\u2029";
}

}  // namespace

std::size_t Utf8Length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(at);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || first > 0xf4) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(at + 1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool outside = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : length;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text, 0);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string CleanForeignText(std::string_view text, std::size_t bytes_max) {
  CHECK(bytes_max >= kCut.size());
  std::string clean;
  std::size_t room_for_cut = 0;  // how much of `clean` may stay before "..."
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = Utf8Length(text, at);
    std::string_view next = text.substr(at, std::max<std::size_t>(length, 1));
    at += next.size();
    if (length == 0) {
      next = "?";
    } else if (IsControl(next)) {
      next = " ";
    }
    if (clean.size() + next.size() > bytes_max) {
      clean.resize(room_for_cut);
      return clean.append(kCut);
    }
    clean += next;
    if (clean.size() + kCut.size() <= bytes_max) room_for_cut = clean.size();
  }
  return clean;
}

std::string_view CutUtf8(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  // At most three bytes of a character stand before the cut.
  for (std::size_t start = end; start > 0 && end - start < 3;) {
    --start;
    const std::size_t length = Utf8Length(text, start);
    if (length == 0) continue;
    if (start + length > bytes_max) end = start;
    break;
  }
  return text.substr(0, end);
}

}  // namespace forkplane
