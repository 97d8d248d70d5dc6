#include "controller/apiserver/http/http_connection.h"

#include <ctime>
#include <exception>
#include <optional>
#include <utility>

#include "controller/apiserver/http/gzip.h"
#include "controller/base/log.h"
#include "controller/base/rng.h"

namespace forkplane::apiserver {
namespace {

constexpr std::size_t kGzipBytesMin = std::size_t{128} * 1024;  // Kubernetes' threshold

// RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string HttpDate(WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

bool HasHeader(const HttpResponse& response, std::string_view name) {
  for (const auto& header : response.headers) {
    if (header.first == name) return true;
  }
  return false;
}

void AddCommonHeaders(HttpResponse& response, std::string audit_id) {
  response.headers.emplace_back("Date", HttpDate(RealClock().WallNow()));
  response.headers.emplace_back("Audit-Id", std::move(audit_id));
  if (!HasHeader(response, "Cache-Control")) {
    response.headers.emplace_back("Cache-Control", "no-cache, private");
  }
}

// Never a stream: its bytes must not wait in a compressor.
void Compress(HttpResponse& response) {
  if (response.stream || response.BodyView().size() <= kGzipBytesMin ||
      HasHeader(response, "Content-Encoding")) {
    return;
  }
  std::optional<std::string> zipped = Gzip(response.BodyView());
  if (!zipped) return;
  response.shared_body.reset();
  response.body = std::move(*zipped);
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.headers.emplace_back("Vary", "Accept-Encoding");
}

HttpResponse FailureResponse(const Refusal& refusal) {
  HttpResponse response;
  response.status = refusal.status;
  response.body = FailureStatusJson(refusal.status, refusal.reason, refusal.message);
  return response;
}

// The edge where an exception of the handler ends: what it says goes to the log, not to the client.
template <typename Call>
std::optional<HttpResponse> Guarded(const HttpRequest& request, const Call& call) {
  const Refusal internal{500, "InternalError", "an error on the server; its log has the details"};
  try {
    return call();
  } catch (const std::exception& e) {
    log::Err("request handler threw",
             {{"method", request.method}, {"target", request.target}, {"error", e.what()}});
    return FailureResponse(internal);
  }
}

class Connection {
 public:
  Connection(HttpShared& shared, Transport& transport, const std::string& remote_address)
      : shared_(shared), transport_(transport), remote_address_(remote_address) {}

  void Serve(bool over_limit) {
    const MonotonicTime handshake_until = RealClock().Now() + shared_.timeouts.handshake;
    if (transport_.Handshake(handshake_until) != Transport::Io::kOk) {
      shared_.metrics.handshakes_failed.Increment();
      log::Debug("TLS handshake failed", {{"remote", remote_address_}});
      return;
    }
    peer_ = transport_.Peer();
    if (peer_) shared_.unauthenticated.Leave(transport_);
    RequestReader reader(transport_, shared_.timeouts,
                         peer_ ? shared_.budget : shared_.anonymous_budget);
    while (ServeOne(reader, over_limit)) {
    }
    transport_.CloseGently(RealClock().Now() + shared_.timeouts.linger);
  }

 private:
  // True: the connection can take another request.
  bool ServeOne(RequestReader& reader, bool over_limit) {
    auto next = reader.ReadHead();
    if (const auto* none = std::get_if<NoRequest>(&next)) return GiveUp(*none);
    auto& read = std::get<ReadRequest>(next);
    HttpRequest& request = read.request;
    request.peer = peer_;
    request.remote_address = remote_address_;
    std::optional<HttpResponse> response =
        over_limit ? TooManyConnections()
                   : Guarded(request, [&] { return shared_.handler.Refuse(request); });
    // The body of a refused request stays unread; the next request could only be found behind it.
    bool close = over_limit || !read.keep_alive || (response && read.framing.HasBody());
    if (!response) {
      if (const auto none = reader.ReadBody(read)) return GiveUp(*none);
      response = Guarded(request, [&] { return std::optional(shared_.handler.Handle(request)); });
    }
    if (read.accepts_gzip) Compress(*response);
    close = close || response->stream || shared_.stopping.load();
    return Answer(request.method, *std::move(response), request.audit_id, close) && !close;
  }

  // Always false: what the client sends next cannot be known.
  bool GiveUp(const NoRequest& none) {
    if (none.refusal) Answer("GET", FailureResponse(*none.refusal), NewUuid(SystemRng()), true);
    return false;
  }

  static HttpResponse TooManyConnections() {
    HttpResponse response =
        FailureResponse({503, "ServiceUnavailable", "too many connections to this server"});
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }

  bool Answer(const std::string& method, HttpResponse response, std::string audit_id, bool close) {
    AddCommonHeaders(response, std::move(audit_id));
    const int status_class = response.status / 100;
    if (status_class >= 1 && status_class <= 5) {
      shared_.metrics.answers[status_class - 1].Increment();
    }
    return shared_.gate.Answer(transport_, method, std::move(response), close);
  }

  HttpShared& shared_;
  Transport& transport_;
  const std::string& remote_address_;
  std::optional<TlsPeer> peer_;
};

}  // namespace

HttpMetrics::HttpMetrics(metrics::Registry* registry, const std::string& listener) {
  if (registry == nullptr) return;
  const metrics::Labels labels{{"listener", listener}};
  connections =
      registry->AddGauge("forkplane_http_connections", "Open connections, idle ones too.", labels);
  connections_refused = registry->AddCounter("forkplane_http_connections_refused_total",
                                             "Connections over the limit.", labels);
  connections_evicted = registry->AddCounter(
      "forkplane_http_connections_evicted_total",
      "Connections without a client certificate closed to let in a newer one.", labels);
  handshakes_failed = registry->AddCounter("forkplane_http_handshakes_failed_total",
                                           "TLS handshakes that did not complete.", labels);
  for (int i = 0; i < 5; ++i) {
    answers[i] =
        registry->AddCounter("forkplane_http_answers_total", "Answers by class of status code.",
                             {{"listener", listener}, {"class", std::to_string(i + 1) + "xx"}});
  }
}

void ServeConnection(HttpShared& shared, Transport& transport, const std::string& remote_address,
                     bool over_limit) {
  try {
    Connection(shared, transport, remote_address).Serve(over_limit);
  } catch (const std::exception& e) {
    // Memory ran out while a request was read or answered: this connection ends, the daemon not.
    log::Err("connection dropped", {{"remote", remote_address}, {"error", e.what()}});
  }
}

}  // namespace forkplane::apiserver
