#include "controller/apiserver/http/http.h"

#include <fmt/format.h>

namespace forkplane::apiserver {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

// Splits off the part before the first `separator` and moves `rest` behind it.
std::string_view TakePart(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return part;
}

// A JSON string with its quotes; bytes outside ASCII are passed on.
std::string JsonString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::string FailureStatusJson(int code, std::string_view reason, std::string_view message) {
  const std::string reason_field =
      reason.empty() ? "" : fmt::format(R"("reason":{},)", JsonString(reason));
  return fmt::format(
      R"({{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{},{}"code":{}}})"
      "\n",
      JsonString(message), reason_field, code);
}

std::optional<std::vector<std::string>> DecodePath(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    const std::string_view part = TakePart(path, '/');
    if (part.empty()) continue;
    std::optional<std::string> decoded = PercentDecode(part, /*plus_is_space=*/false);
    if (!decoded) return std::nullopt;
    segments.push_back(std::move(*decoded));
  }
  return segments;
}

std::optional<std::multimap<std::string, std::string>> DecodeQuery(std::string_view query) {
  std::multimap<std::string, std::string> values;
  while (!query.empty()) {
    std::string_view value = TakePart(query, '&');
    if (value.empty()) continue;
    const std::string_view name = TakePart(value, '=');
    std::optional<std::string> decoded_name = PercentDecode(name, /*plus_is_space=*/true);
    std::optional<std::string> decoded_value = PercentDecode(value, /*plus_is_space=*/true);
    if (!decoded_name || !decoded_value) return std::nullopt;
    values.emplace(std::move(*decoded_name), std::move(*decoded_value));
  }
  return values;
}

}  // namespace forkplane::apiserver
