#include "controller/apiserver/http/http_reader.h"

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
constexpr std::size_t kEmptyLinesMax = 4;         // before a request

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

// "1a ;name=value" -> 26. At most 7 digits: no chunk we would take is longer. Behind them come
// extensions or nothing: whoever reads "1 a" or a line break in them may read another size.
std::optional<std::size_t> ChunkSize(std::string_view line) {
  const std::string_view digits = line.substr(0, line.find_first_of("; \t"));
  const std::string_view rest = line.substr(digits.size());
  const std::size_t behind_space = rest.find_first_not_of(" \t");
  if (behind_space != std::string_view::npos && rest[behind_space] != ';') return std::nullopt;
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

std::variant<ReadRequest, NoRequest> RequestReader::ReadHead() {
  if (Unread().empty()) {
    const MonotonicTime idle_until = RealClock().Now() + budget_.idle;
    if (transport_.WaitReadable(idle_until) != Transport::Io::kOk) return NoRequest{};
  }
  const MonotonicTime begin = RealClock().Now();
  std::size_t head_bytes = 0;
  if (auto obstacle = FillHead(begin + timeouts_.head, head_bytes)) return *std::move(obstacle);
  auto parsed = ParseRequestHead(Unread().substr(0, head_bytes));
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return Refuse(std::move(*refusal));
  auto& head = std::get<RequestHead>(parsed);
  Use(head_bytes);

  ReadRequest result;
  result.framing = head.framing;
  result.request.deadline = begin + timeouts_.request;
  result.keep_alive = head.keep_alive;
  if (const auto it = head.headers.find("accept-encoding"); it != head.headers.end()) {
    result.accepts_gzip = AcceptsGzip(it->second);
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
  buffer_.erase(0, used_);
  used_ = 0;
  buffer_.append(bytes.data(), count);
  return std::nullopt;
}

void RequestReader::Use(std::size_t count) { used_ += count; }

// Reads until a whole head is there. A few empty lines before it are skipped (RFC 9112 2.2: some
// clients send one after a body).
RequestReader::Obstacle RequestReader::FillHead(MonotonicTime deadline, std::size_t& head_bytes) {
  const std::size_t limit = budget_.head_bytes;
  std::size_t searched = 0;
  std::size_t empty_lines = 0;
  for (;;) {
    while (Unread().starts_with("\r\n")) {
      if (++empty_lines > kEmptyLinesMax) return Refuse(RefuseBadRequest("malformed request line"));
      Use(2);
    }
    const std::size_t end = Unread().find("\r\n\r\n", searched < 3 ? 0 : searched - 3);
    if (end != std::string_view::npos && end + 4 <= limit) {
      head_bytes = end + 4;
      return std::nullopt;
    }
    if (Unread().size() > limit) {
      return Refuse(HeadTooLarge(fmt::format("request head over {} bytes", limit)));
    }
    searched = Unread().size();
    if (auto obstacle = Fill(deadline)) return obstacle;
  }
}

std::optional<NoRequest> RequestReader::ReadBody(ReadRequest& read) {
  const BodyFraming& framing = read.framing;
  if (!framing.HasBody()) return std::nullopt;
  if (framing.content_length > budget_.body_bytes) return Refuse(BodyTooLarge(budget_.body_bytes));
  if (framing.expect_continue && Unread().empty()) {
    const MonotonicTime write_until = RealClock().Now() + timeouts_.write;
    if (transport_.Write("HTTP/1.1 100 Continue\r\n\r\n", write_until) != Transport::Io::kOk) {
      return NoRequest{};
    }
  }
  const MonotonicTime deadline = read.request.deadline;
  std::string& body = read.request.body;
  return framing.chunked ? ReadChunks(deadline, body)
                         : ReadExactly(framing.content_length, deadline, body);
}

RequestReader::Obstacle RequestReader::ReadExactly(std::size_t count, MonotonicTime deadline,
                                                   std::string& out) {
  while (count > 0) {
    if (Unread().empty()) {
      if (auto obstacle = Fill(deadline)) return obstacle;
    }
    const std::string_view taken = Unread().substr(0, count);
    out.append(taken);
    count -= taken.size();
    Use(taken.size());
  }
  return std::nullopt;
}

RequestReader::Obstacle RequestReader::ReadLine(MonotonicTime deadline, std::string& line) {
  for (;;) {
    const std::size_t end = Unread().substr(0, kChunkLineBytesMax + 2).find("\r\n");
    if (end != std::string_view::npos) {
      line = Unread().substr(0, end);
      Use(end + 2);
      if (HasControl(line)) return Refuse(RefuseBadRequest("malformed chunk"));
      return std::nullopt;
    }
    if (Unread().size() >= kChunkLineBytesMax + 2)
      return Refuse(RefuseBadRequest("malformed chunk"));
    if (auto obstacle = Fill(deadline)) return obstacle;
  }
}

// `overhead` bounds what does not count as body: a megabyte in chunks of one byte is six of lines.
// One line more than that is for the last chunk, which an empty body has too.
RequestReader::Obstacle RequestReader::ReadChunks(MonotonicTime deadline, std::string& body) {
  std::size_t overhead = 0;
  for (;;) {
    std::string line;
    if (auto obstacle = ReadLine(deadline, line)) return obstacle;
    const std::optional<std::size_t> size = ChunkSize(line);
    if (!size) return Refuse(RefuseBadRequest("malformed chunk"));
    overhead += line.size() + 4;
    const std::size_t limit = budget_.body_bytes;
    if (*size > limit - body.size() || overhead > 4 * limit + kChunkLineBytesMax) {
      return Refuse(BodyTooLarge(limit));
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
  return Refuse(HeadTooLarge(fmt::format("more than {} trailer fields", kHeaderFieldsMax)));
}

}  // namespace forkplane::apiserver
