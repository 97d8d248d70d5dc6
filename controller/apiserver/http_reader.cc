#include "controller/apiserver/http_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "controller/base/rng.h"

namespace forkplane::apiserver {
namespace {

constexpr std::size_t kReadBytes = std::size_t{16} * 1024;
constexpr std::size_t kChunkLineBytesMax = 1024;  // size and extensions, or one trailer field

NoRequest Refuse(Refusal refusal) { return NoRequest{std::move(refusal)}; }

// Whether the client takes gzip: "gzip" or "*" without q=0 (RFC 9110 12.5.3). Other q-values do not
// matter, we have one coding.
bool AcceptsGzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    const std::size_t comma = accept_encoding.find(',');
    std::string item(accept_encoding.substr(0, comma));
    std::erase_if(item, [](char c) { return c == ' ' || c == '\t'; });
    const std::string coding = item.substr(0, item.find(';'));
    if (coding == "gzip" || coding == "*") {
      const std::size_t q = item.find(";q=0");
      const bool is_zero =
          q != std::string::npos && item.find_first_not_of("0.", q + 3) == std::string::npos;
      if (!is_zero) return true;
    }
    if (comma == std::string_view::npos) return false;
    accept_encoding.remove_prefix(comma + 1);
  }
  return false;
}

// "1a;name=value" -> 26. At most 7 digits: no chunk we would take is longer.
std::optional<std::size_t> ChunkSize(std::string_view line) {
  const std::string_view digits = line.substr(0, line.find_first_of("; \t"));
  std::size_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
  const bool is_number = error == std::errc{} && end == digits.data() + digits.size();
  return is_number && digits.size() <= 7 ? std::optional(size) : std::nullopt;
}

// Fills what can be derived from the head; false: a bad percent escape.
bool Describe(RequestHead head, HttpRequest& request) {
  const std::size_t question = head.target.find('?');
  request.path = head.target.substr(0, question);
  std::string_view query;
  if (question != std::string::npos) query = std::string_view(head.target).substr(question + 1);
  auto segments = DecodePath(request.path);
  auto values = DecodeQuery(query);
  if (!segments || !values) return false;
  request.segments = std::move(*segments);
  request.query = std::move(*values);
  request.method = std::move(head.method);
  request.target = std::move(head.target);
  request.headers = std::move(head.headers);
  // Dealt with here: a handler that sees them could only get them wrong.
  for (const char* name : {"accept-encoding", "expect", "range", "if-range"}) {
    request.headers.erase(name);
  }
  request.audit_id = NewUuid(SystemRng());
  return true;
}

}  // namespace

std::variant<ReadRequest, NoRequest> RequestReader::Read() {
  if (buffer_.empty()) {
    const MonotonicTime idle_until = RealClock().Now() + timeouts_.idle;
    if (transport_.WaitReadable(idle_until) != Transport::Io::kOk) return NoRequest{};
  }
  const MonotonicTime begin = RealClock().Now();
  std::size_t head_bytes = 0;
  if (auto obstacle = FillHead(begin + timeouts_.head, head_bytes)) return *std::move(obstacle);
  auto parsed = ParseRequestHead(std::string_view(buffer_).substr(0, head_bytes));
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return Refuse(std::move(*refusal));
  auto& head = std::get<RequestHead>(parsed);
  buffer_.erase(0, head_bytes);

  ReadRequest result;
  result.request.deadline = begin + timeouts_.request;
  result.keep_alive = head.keep_alive;
  if (const auto it = head.headers.find("accept-encoding"); it != head.headers.end()) {
    result.accepts_gzip = AcceptsGzip(it->second);
  }
  if (auto obstacle = ReadBody(head, result.request.deadline, result.request.body)) {
    return *std::move(obstacle);
  }
  if (!Describe(std::move(head), result.request)) {
    return Refuse(RefuseBadRequest("malformed percent escape in the request target"));
  }
  return result;
}

RequestReader::Obstacle RequestReader::Fill(MonotonicTime deadline) {
  std::array<char, kReadBytes> bytes;
  std::size_t count = 0;
  if (transport_.Read(bytes.data(), bytes.size(), count, deadline) != Transport::Io::kOk) {
    return NoRequest{};
  }
  buffer_.append(bytes.data(), count);
  return std::nullopt;
}

// Reads until buffer_ begins with a whole head. Empty lines before a request are skipped (RFC 9112
// 2.2: some clients send one after a body).
RequestReader::Obstacle RequestReader::FillHead(MonotonicTime deadline, std::size_t& head_bytes) {
  std::size_t searched = 0;
  for (;;) {
    while (buffer_.starts_with("\r\n")) buffer_.erase(0, 2);
    const std::size_t end = buffer_.find("\r\n\r\n", searched < 3 ? 0 : searched - 3);
    if (end != std::string::npos && end + 4 <= kHeadBytesMax) {
      head_bytes = end + 4;
      return std::nullopt;
    }
    if (buffer_.size() > kHeadBytesMax) {
      return Refuse({431, "", fmt::format("request head over {} bytes", kHeadBytesMax)});
    }
    searched = buffer_.size();
    if (auto obstacle = Fill(deadline)) return obstacle;
  }
}

RequestReader::Obstacle RequestReader::ReadBody(const RequestHead& head, MonotonicTime deadline,
                                                std::string& body) {
  if (!head.HasBody()) return std::nullopt;
  if (head.expect_continue && buffer_.empty()) {
    const MonotonicTime write_until = RealClock().Now() + timeouts_.write;
    if (transport_.Write("HTTP/1.1 100 Continue\r\n\r\n", write_until) != Transport::Io::kOk) {
      return NoRequest{};
    }
  }
  return head.chunked ? ReadChunks(deadline, body)
                      : ReadExactly(head.content_length, deadline, body);
}

RequestReader::Obstacle RequestReader::ReadExactly(std::size_t count, MonotonicTime deadline,
                                                   std::string& out) {
  while (count > 0) {
    if (buffer_.empty()) {
      if (auto obstacle = Fill(deadline)) return obstacle;
    }
    const std::size_t taken = std::min(count, buffer_.size());
    out.append(buffer_, 0, taken);
    buffer_.erase(0, taken);
    count -= taken;
  }
  return std::nullopt;
}

RequestReader::Obstacle RequestReader::ReadLine(MonotonicTime deadline, std::string& line) {
  for (;;) {
    const std::size_t end = buffer_.find("\r\n");
    if (end <= kChunkLineBytesMax) {  // npos is larger
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      return std::nullopt;
    }
    if (buffer_.size() > kChunkLineBytesMax) return Refuse(RefuseBadRequest("malformed chunk"));
    if (auto obstacle = Fill(deadline)) return obstacle;
  }
}

// `overhead` bounds what does not count as body: a megabyte in chunks of one byte is six of lines.
RequestReader::Obstacle RequestReader::ReadChunks(MonotonicTime deadline, std::string& body) {
  std::size_t overhead = 0;
  for (;;) {
    std::string line;
    if (auto obstacle = ReadLine(deadline, line)) return obstacle;
    const std::optional<std::size_t> size = ChunkSize(line);
    if (!size) return Refuse(RefuseBadRequest("malformed chunk"));
    overhead += line.size() + 4;
    if (*size > kBodyBytesMax - body.size() || overhead > 4 * kBodyBytesMax) {
      return Refuse(BodyTooLarge());
    }
    if (*size == 0) return ReadTrailers(deadline);
    if (auto obstacle = ReadExactly(*size, deadline, body)) return obstacle;
    if (auto obstacle = ReadLine(deadline, line)) return obstacle;
    if (!line.empty()) return Refuse(RefuseBadRequest("malformed chunk"));
  }
}

// Trailer fields are read and dropped.
RequestReader::Obstacle RequestReader::ReadTrailers(MonotonicTime deadline) {
  for (std::size_t fields = 0; fields <= kHeaderFieldsMax; ++fields) {
    std::string line;
    if (auto obstacle = ReadLine(deadline, line)) return obstacle;
    if (line.empty()) return std::nullopt;
  }
  return Refuse({431, "", fmt::format("more than {} trailer fields", kHeaderFieldsMax)});
}

}  // namespace forkplane::apiserver
