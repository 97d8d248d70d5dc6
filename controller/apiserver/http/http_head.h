// The head of a request (request line and header fields), parsed strictly after RFC 9112.
//
// cpp-httplib's own parser is not given what a client sent: it percent-decodes header values, skips
// malformed lines, takes a broken chunk for the end of a body, inflates bodies without a bound, and
// matches Range with a recursive regex before any handler runs. It sees only what httplib_gate.h
// writes anew.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace forkplane::apiserver {

inline constexpr std::size_t kHeadBytesMax = std::size_t{64} * 1024;
inline constexpr std::size_t kHeaderFieldsMax = 128;
inline constexpr std::size_t kBodyBytesMax = std::size_t{3} * 1024 * 1024;  // Kubernetes' limit

// Which bytes behind the head belong to the request.
struct BodyFraming {
  std::size_t content_length = 0;  // SIZE_MAX: more than that
  bool chunked = false;
  bool expect_continue = false;

  bool HasBody() const { return chunked || content_length > 0; }
};

struct RequestHead {
  std::string method;
  std::string target;                          // origin form: "/path?query"
  std::map<std::string, std::string> headers;  // lower-case names; repeated ones joined by ", "
  BodyFraming framing;
  bool is_http_1_0 = false;
  bool keep_alive = true;
};

// An answer that the connection layer gives by itself, after which it closes: what the client
// meant to send next cannot be known.
struct Refusal {
  int status = 400;
  std::string reason;  // Kubernetes' word
  std::string message;
};

// `text` ends with the empty line.
std::variant<RequestHead, Refusal> ParseRequestHead(std::string_view text);

Refusal RefuseBadRequest(std::string message);
Refusal HeadTooLarge(std::string message);
Refusal BodyTooLarge(std::size_t limit);

// Whether a line holds what no line may: two parsers could disagree about where it ends.
bool HasControl(std::string_view line);

}  // namespace forkplane::apiserver
