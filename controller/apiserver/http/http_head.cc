#include "controller/apiserver/http/http_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace forkplane::apiserver {
namespace {

bool IsTokenChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string LowerCase(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), Lower);
  return out;
}

std::string_view Trim(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Whether the comma-separated list holds the (lower-case) word.
bool ListHas(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (LowerCase(Trim(list.substr(0, comma))) == word) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// "http://host:1/path" -> "/path": servers must take the absolute form (RFC 9112 3.2.2). The
// authority ends where a path, a query or a fragment begins: a slash in a query begins no path.
std::string OriginForm(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (LowerCase(target.substr(0, scheme.size())) != scheme) continue;
    const std::size_t end = target.find_first_of("/?#", scheme.size());
    if (end == std::string_view::npos) return "/";
    return (target[end] == '/' ? "" : "/") + std::string(target.substr(end));
  }
  return std::string(target);
}

std::optional<Refusal> ParseRequestLine(std::string_view line, RequestHead& head) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return RefuseBadRequest("malformed request line");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  const auto is_visible = [](char c) { return c > 0x20 && c < 0x7f; };
  if (!IsToken(method) || target.empty() ||
      !std::all_of(target.begin(), target.end(), is_visible)) {
    return RefuseBadRequest("malformed request line");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return Refusal{505, "BadRequest", "this server speaks HTTP/1.1"};
  }
  head.method = method;
  head.target = OriginForm(target);
  head.is_http_1_0 = version == "HTTP/1.0";
  head.keep_alive = !head.is_http_1_0;
  if (head.target.front() != '/' && head.target != "*") {
    return RefuseBadRequest("the request target must begin with a slash");
  }
  return std::nullopt;
}

std::optional<Refusal> ParseField(std::string_view line, RequestHead& head) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return RefuseBadRequest("malformed header field");  // a folded line too: it begins with a space
  }
  const std::string_view value = Trim(line.substr(colon + 1));
  if (HasControl(value)) return RefuseBadRequest("control character in a header field");
  const auto [it, is_new] = head.headers.try_emplace(LowerCase(line.substr(0, colon)), value);
  if (!is_new) it->second.append(", ").append(value);
  return std::nullopt;
}

// Equal repetitions ("5, 5") are one number (RFC 9110 8.6); anything else that is not digits is
// refused.
std::optional<std::size_t> ParseContentLength(std::string_view text) {
  std::optional<std::size_t> length;
  for (;;) {
    const std::size_t comma = text.find(',');
    const std::string_view part = Trim(text.substr(0, comma));
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error == std::errc::result_out_of_range) value = SIZE_MAX;
    if (error == std::errc::invalid_argument || end != part.data() + part.size()) {
      return std::nullopt;
    }
    if (length && *length != value) return std::nullopt;
    length = value;
    if (comma == std::string_view::npos) return length;
    text.remove_prefix(comma + 1);
  }
}

// Which bytes after the head belong to this request (RFC 9112 6.3). No length and no chunks is an
// empty body, for POST, PUT and PATCH as well. Chunks did not exist in HTTP/1.0: whoever handed
// such a request on may have read it otherwise (6.1).
std::optional<Refusal> ReadFraming(RequestHead& head) {
  const auto encoding = head.headers.find("transfer-encoding");
  const auto length = head.headers.find("content-length");
  if (encoding != head.headers.end()) {
    if (length != head.headers.end()) {
      return RefuseBadRequest("both Content-Length and Transfer-Encoding");
    }
    if (head.is_http_1_0) return RefuseBadRequest("Transfer-Encoding in HTTP/1.0");
    if (LowerCase(encoding->second) != "chunked") {
      return Refusal{501, "BadRequest", "the only transfer encoding is chunked"};
    }
    head.framing.chunked = true;
  }
  if (length != head.headers.end()) {
    const std::optional<std::size_t> value = ParseContentLength(length->second);
    if (!value) return RefuseBadRequest("malformed Content-Length");
    head.framing.content_length = *value;
  }
  return std::nullopt;
}

std::optional<Refusal> ReadConnection(RequestHead& head) {
  if (const auto it = head.headers.find("connection"); it != head.headers.end()) {
    if (ListHas(it->second, "close")) {
      head.keep_alive = false;
    } else if (ListHas(it->second, "keep-alive")) {
      head.keep_alive = true;
    }
  }
  if (const auto it = head.headers.find("expect"); it != head.headers.end()) {
    if (LowerCase(it->second) != "100-continue") {
      return Refusal{417, "BadRequest", "the only expectation is 100-continue"};
    }
    head.framing.expect_continue = !head.is_http_1_0;  // which had no such answer
  }
  return std::nullopt;
}

}  // namespace

Refusal RefuseBadRequest(std::string message) { return {400, "BadRequest", std::move(message)}; }

Refusal HeadTooLarge(std::string message) {
  return {431, "RequestEntityTooLarge", std::move(message)};
}

Refusal BodyTooLarge(std::size_t limit) {
  return {413, "RequestEntityTooLarge",
          fmt::format("Request entity too large: limit is {}", limit)};
}

bool HasControl(std::string_view line) {
  return std::any_of(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
}

std::variant<RequestHead, Refusal> ParseRequestHead(std::string_view text) {
  RequestHead head;
  bool is_first = true;
  std::size_t fields = 0;
  for (;;) {
    const std::size_t end = text.find("\r\n");
    if (end == std::string_view::npos) return RefuseBadRequest("a line does not end with CRLF");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (line.empty()) break;
    if (!is_first && ++fields > kHeaderFieldsMax) {
      return HeadTooLarge(fmt::format("more than {} header fields", kHeaderFieldsMax));
    }
    std::optional<Refusal> refusal =
        is_first ? ParseRequestLine(line, head) : ParseField(line, head);
    if (refusal) return *std::move(refusal);
    is_first = false;
  }
  if (is_first) return RefuseBadRequest("malformed request line");
  if (auto refusal = ReadFraming(head)) return *std::move(refusal);
  if (auto refusal = ReadConnection(head)) return *std::move(refusal);
  return head;
}

}  // namespace forkplane::apiserver
