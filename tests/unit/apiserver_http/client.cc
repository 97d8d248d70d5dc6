#include "tests/unit/apiserver_http/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "controller/apiserver/http/pki.h"

namespace forkplane::apiserver {

Client::Client(std::uint16_t port, std::optional<ClientTls> tls)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ok_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  timeval limit{20, 0};  // a hang becomes a failure
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  if (!ok_ || !tls) return;
  context_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX_load_verify_file(context_, (PkiDirectory() + "/ca.crt").c_str());
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  if (tls->version_max != 0) {
    SSL_CTX_set_min_proto_version(context_, 0);
    SSL_CTX_set_max_proto_version(context_, tls->version_max);
    SSL_CTX_set_security_level(context_, 0);
  }
  if (!tls->certificate.empty()) {
    CHECK(SSL_CTX_use_certificate_file(context_, tls->certificate.c_str(), SSL_FILETYPE_PEM) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(context_, tls->key.c_str(), SSL_FILETYPE_PEM) == 1);
  }
  ssl_ = SSL_new(context_);
  SSL_set_fd(ssl_, fd_.get());
  SSL_set1_host(ssl_, "localhost");
  if (tls->resume != nullptr) SSL_set_session(ssl_, tls->resume);
  ok_ = SSL_connect(ssl_) == 1;
}

Client::~Client() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

bool Client::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n =
        ssl_ != nullptr
            ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
            : static_cast<int>(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool Client::Fill() {
  std::array<char, std::size_t{16} * 1024> part;
  const auto n = ssl_ != nullptr ? SSL_read(ssl_, part.data(), static_cast<int>(part.size()))
                                 : static_cast<int>(::recv(fd_.get(), part.data(), part.size(), 0));
  if (n > 0) buffer_.append(part.data(), static_cast<std::size_t>(n));
  return n > 0;
}

std::optional<std::string> Client::Line() {
  for (;;) {
    const std::size_t end = buffer_.find("\r\n");
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      return line;
    }
    if (!Fill()) return std::nullopt;
  }
}

std::optional<std::string> Client::Exactly(std::size_t count) {
  while (buffer_.size() < count) {
    if (!Fill()) return std::nullopt;
  }
  std::string bytes = buffer_.substr(0, count);
  buffer_.erase(0, count);
  return bytes;
}

Answer Client::ReadHead() {
  Answer answer;
  const std::optional<std::string> status = Line();
  if (!status || status->size() < 12) return answer;
  for (;;) {
    const std::optional<std::string> line = Line();
    if (!line) return answer;
    if (line->empty()) break;
    const std::size_t colon = line->find(": ");
    std::string name = line->substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    answer.headers[name] = line->substr(colon + 2);
  }
  answer.status = std::stoi(status->substr(9, 3));
  return answer;
}

std::optional<std::string> Client::ReadChunk() {
  const std::optional<std::string> size = Line();
  if (!size) return std::nullopt;
  std::optional<std::string> data = Exactly(std::stoul(*size, nullptr, 16));
  const std::optional<std::string> end = Line();
  return end && end->empty() ? data : std::nullopt;
}

Answer Client::Read(bool is_head_request) {
  Answer answer = ReadHead();
  if (answer.status == 0) return answer;
  if (is_head_request || answer.status == 100) {
    answer.complete = true;
  } else if (answer.headers.contains("content-length")) {
    const auto body = Exactly(std::stoul(answer.headers["content-length"]));
    answer.complete = body.has_value();
    answer.body = body.value_or("");
  } else {
    for (auto chunk = ReadChunk(); chunk; chunk = ReadChunk()) {
      answer.complete = chunk->empty();
      if (answer.complete) break;
      answer.body += *chunk;
    }
  }
  return answer;
}

bool Client::WaitClosed(int timeout_ms) {
  pollfd fd{fd_.get(), POLLRDHUP, 0};
  return ::poll(&fd, 1, timeout_ms) > 0;
}

void Client::Close() {
  if (ssl_ != nullptr) SSL_shutdown(ssl_);
  fd_.Reset();
}

const std::string& PkiDirectory() {
  static const testing::TempDir directory;
  static const std::string path = [] {
    std::string pki = directory.File("pki");
    CHECK(EnsurePki(pki, {}, RealClock()).ok());
    return pki;
  }();
  return path;
}

std::shared_ptr<TlsContext> ServerTls() {
  const std::string& pki = PkiDirectory();
  return TlsContext::Open({pki + "/server.crt", pki + "/server.key", pki + "/ca.crt"}).value();
}

ClientTls AdminTls() {
  return {.certificate = PkiDirectory() + "/admin.crt", .key = PkiDirectory() + "/admin.key"};
}

TestServer::TestServer(bool tls, FunctionHandler::Function function, HttpServerOptions options,
                       FunctionHandler::Judge judge)
    : tls_(tls), handler_(std::move(function), std::move(judge)) {
  ::signal(SIGPIPE, SIG_IGN);  // as the daemon does: OpenSSL writes to whoever has gone
  options.address = "127.0.0.1:0";
  if (tls) options.tls = ServerTls();
  server_ = HttpServer::Start(std::move(options), handler_).value();
}

std::unique_ptr<Client> TestServer::Connect() const {
  return std::make_unique<Client>(port(), tls_ ? std::optional(AdminTls()) : std::nullopt);
}

std::unique_ptr<Client> TestServer::ConnectAnonymously() const {
  return std::make_unique<Client>(port(), tls_ ? std::optional(ClientTls{}) : std::nullopt);
}

HttpResponse Echo(const HttpRequest& request) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = request.method;
  for (const std::string& segment : request.segments) response.body += "|" + segment;
  response.body += fmt::format(" x={} body={}", request.Header("x"), request.body.size());
  return response;
}

}  // namespace forkplane::apiserver
