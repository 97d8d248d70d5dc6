// HTTP as the REST layer sees it: a request that was read whole, a response that is bytes or a
// stream. Nothing here knows of sockets, TLS or the HTTP library, so the whole API can be tested by
// calling HttpHandler::Handle.
//
// What the connection layer (http_server.h) has already done when Handle is called: TLS and the
// client's certificate; Refuse, before the body was read; limits on headers, body and time;
// percent-decoding (a bad escape was answered with 400); Expect, Range and Accept-Encoding, which
// do not appear in `headers` (answers over 128 KiB are gzipped for those who take it; ranges are
// never served). What it adds to every response: Date, Audit-Id, Cache-Control (unless set),
// Content-Length or chunks.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/base/clock.h"

namespace forkplane::apiserver {

// The subject of a client certificate that our CA signed for clientAuth: Kubernetes reads CN as the
// user and every O as a group.
struct TlsPeer {
  std::string common_name;
  std::vector<std::string> organizations;
  bool operator==(const TlsPeer&) const = default;
};

struct HttpRequest {
  std::string method;                 // "GET", upper case
  std::string target;                 // as sent: "/api/v1/pods?labelSelector=a%3Db"
  std::string path;                   // the target up to '?', still percent-encoded
  std::vector<std::string> segments;  // decoded, without empty ones; "%2F" is '/' inside of one
  std::multimap<std::string, std::string> query;  // decoded; '+' is a space; "?watch" has value ""
  std::map<std::string, std::string> headers;     // lower-case names; repeated ones joined by ", "
  std::string body;                               // at most 3 MiB; empty in Refuse
  std::optional<TlsPeer> peer;                    // none: anonymous
  std::string remote_address;                     // "127.0.0.1" or "::1", without the port
  std::string audit_id;                           // a UUID; also in the response
  // When a request that is no stream must be answered (60 s after its first byte).
  MonotonicTime deadline{};

  // The header's or first query value of that name, or "".
  std::string_view Header(const std::string& lower_case_name) const {
    const auto it = headers.find(lower_case_name);
    return it == headers.end() ? std::string_view{} : std::string_view{it->second};
  }
  std::string_view Query(const std::string& name) const {
    const auto it = query.find(name);
    return it == query.end() ? std::string_view{} : std::string_view{it->second};
  }
};

// The writing end of a streamed response. Used only by the stream function, on its thread.
class StreamSink {
 public:
  enum class Event { kReady, kTimeout, kClosed };

  virtual ~StreamSink() = default;
  // One chunk, on its way when this returns. Blocks at most the server's write timeout. False: the
  // client is gone, did not read in time, or the server stops; return from the stream function.
  virtual bool Write(std::string_view bytes) = 0;
  // Waits for the eventfd to become readable (the caller reads it), the deadline, or the end of the
  // connection (client closed its side, or the server stops). No polling: one poll(2).
  virtual Event Wait(int eventfd, MonotonicTime deadline) = 0;
};

// Runs on the connection's thread after status and headers were sent. Returning ends the response
// cleanly (last chunk); the connection is then closed.
using StreamFunction = std::function<void(StreamSink&)>;

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
  // The body is `stream` if set, else `shared_body` if set, else `body`. A shared body must not
  // change; it may be sent to any number of clients at once.
  std::string body = {};
  std::shared_ptr<const std::string> shared_body = {};
  StreamFunction stream = {};

  std::string_view BodyView() const { return shared_body ? *shared_body : body; }
};

// Called on many threads at once, for each request first Refuse, then Handle; must outlive the
// server.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Whether to go on, decided by the head alone: `request` has no body yet, and "100 Continue" has
  // not been said. An answer refuses: it is given, the body is never read, and Handle not called.
  virtual std::optional<HttpResponse> Refuse(const HttpRequest& request) {
    (void)request;
    return std::nullopt;
  }
  virtual HttpResponse Handle(const HttpRequest& request) = 0;
};

// The body of a metav1.Status failure, for answers that the connection layer gives by itself.
// `reason` may be empty.
std::string FailureStatusJson(int code, std::string_view reason, std::string_view message);

// The target up to '?' split at '/' and decoded; empty segments are dropped. None: a bad escape.
std::optional<std::vector<std::string>> DecodePath(std::string_view path);
// "a=b&c" decoded; none: a bad escape.
std::optional<std::multimap<std::string, std::string>> DecodeQuery(std::string_view query);

}  // namespace forkplane::apiserver
