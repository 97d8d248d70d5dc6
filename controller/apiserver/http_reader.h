// Reads whole requests from one connection, within limits of bytes and time.
//
// NOTE Threading: the connection's thread only.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "controller/apiserver/http.h"
#include "controller/apiserver/http_head.h"
#include "controller/apiserver/transport.h"

namespace forkplane::apiserver {

struct HttpTimeouts {
  // client-go keeps connections for 90 s; whoever closes first risks a race with a request, so it
  // should not be us.
  std::chrono::milliseconds idle{120'000};
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds head{10'000};     // from the first byte to the empty line
  std::chrono::milliseconds request{60'000};  // from the first byte to the answer
  std::chrono::milliseconds write{30'000};    // one write: an answer or a watch event
  std::chrono::milliseconds linger{2'000};    // dropping what a refused client still sends
};

// Why there is no request: an answer to give before closing, or none (the client closed or was too
// slow, or the server stops).
struct NoRequest {
  std::optional<Refusal> refusal;
};

// A request and what the connection layer needs to know of its head.
struct ReadRequest {
  HttpRequest request;
  bool keep_alive = true;
  bool accepts_gzip = false;
};

class RequestReader {
 public:
  RequestReader(Transport& transport, const HttpTimeouts& timeouts)
      : transport_(transport), timeouts_(timeouts) {}

  // Waits for the next request (idle), then reads all of it. A body nobody wants is read as well:
  // the next request begins behind it.
  std::variant<ReadRequest, NoRequest> Read();

 private:
  // Each returns why reading cannot go on, or nothing when it did what it says.
  using Obstacle = std::optional<NoRequest>;
  Obstacle Fill(MonotonicTime deadline);  // some more bytes into buffer_
  Obstacle FillHead(MonotonicTime deadline, std::size_t& head_bytes);
  Obstacle ReadBody(const RequestHead& head, MonotonicTime deadline, std::string& body);
  Obstacle ReadExactly(std::size_t count, MonotonicTime deadline, std::string& out);
  Obstacle ReadLine(MonotonicTime deadline, std::string& line);
  Obstacle ReadChunks(MonotonicTime deadline, std::string& body);
  Obstacle ReadTrailers(MonotonicTime deadline);

  Transport& transport_;
  const HttpTimeouts& timeouts_;
  std::string buffer_;  // received, not yet used
};

}  // namespace forkplane::apiserver
