// Reads whole requests from one connection, within limits of bytes and time.
//
// NOTE Threading: the connection's thread only.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/http/http_head.h"
#include "controller/apiserver/http/transport.h"

namespace forkplane::apiserver {

struct HttpTimeouts {
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds head{10'000};     // from the first byte to the empty line
  std::chrono::milliseconds request{60'000};  // from the first byte to the answer
  std::chrono::milliseconds write{30'000};    // one write: an answer or a watch event
  std::chrono::milliseconds linger{2'000};    // dropping what a refused client still sends
};

// What one connection may take.
struct HttpBudget {
  std::size_t head_bytes = kHeadBytesMax;
  std::size_t body_bytes = kBodyBytesMax;
  // client-go keeps connections for 90 s; whoever closes first risks a race with a request, so it
  // should not be us.
  std::chrono::milliseconds idle{120'000};
};

// Who has not said who he is may ask for version and health, which takes no body.
inline constexpr HttpBudget kAnonymousBudget{
    .head_bytes = std::size_t{8} * 1024, .body_bytes = 0, .idle = std::chrono::seconds(10)};

// Why there is no request: an answer to give before closing, or none (the client closed or was too
// slow, or the server stops).
struct NoRequest {
  std::optional<Refusal> refusal;
};

// A request and what the connection layer needs to know of its head.
struct ReadRequest {
  HttpRequest request;
  BodyFraming framing;
  bool keep_alive = true;
  bool accepts_gzip = false;
};

class RequestReader {
 public:
  RequestReader(Transport& transport, const HttpTimeouts& timeouts, const HttpBudget& budget)
      : transport_(transport), timeouts_(timeouts), budget_(budget) {}

  // Waits for the next request (idle), then reads its head.
  std::variant<ReadRequest, NoRequest> ReadHead();
  // Reads the body of the request whose head was just read, into it; says "100 Continue" first
  // where that is waited for. The next head begins behind the body: without this call there is no
  // reading on, unless there is no body.
  std::optional<NoRequest> ReadBody(ReadRequest& read);

 private:
  // Each returns why reading cannot go on, or nothing when it did what it says.
  using Obstacle = std::optional<NoRequest>;
  Obstacle Fill(MonotonicTime deadline);  // some more bytes into buffer_
  Obstacle FillHead(MonotonicTime deadline, std::size_t& head_bytes);
  Obstacle ReadExactly(std::size_t count, MonotonicTime deadline, std::string& out);
  Obstacle ReadLine(MonotonicTime deadline, std::string& line);
  Obstacle ReadChunks(MonotonicTime deadline, std::string& body);
  Obstacle ReadTrailers(MonotonicTime deadline);

  Transport& transport_;
  const HttpTimeouts& timeouts_;
  const HttpBudget budget_;
  // What was received and not yet used begins at used_: moving the rest up after every short line
  // would make a body of tiny chunks cost the square of its size.
  std::string_view Unread() const { return std::string_view(buffer_).substr(used_); }
  void Use(std::size_t count);
  std::string buffer_;
  std::size_t used_ = 0;
};

}  // namespace forkplane::apiserver
