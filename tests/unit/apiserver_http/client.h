// A client that sends exactly the bytes a test wants, plain or over TLS, and a server to send them
// to.
#pragma once

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/http/http_server.h"
#include "controller/base/unique_fd.h"
#include "tests/support/tempdir.h"

namespace forkplane::apiserver {

struct Answer {
  int status = 0;                              // 0: the connection ended before an answer
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;
  bool complete = false;  // the body ended as its framing says
};

struct ClientTls {
  std::string certificate = {};  // file; empty: none
  std::string key = {};
  SSL_SESSION* resume = nullptr;
  int version_max = 0;
};

class Client {
 public:
  // Plain when `tls` is empty. A failed handshake shows in ok().
  explicit Client(std::uint16_t port, std::optional<ClientTls> tls = std::nullopt);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool ok() const { return ok_; }
  SSL* ssl() const { return ssl_; }
  int fd() const { return fd_.get(); }
  bool Send(std::string_view bytes);
  // Reads a whole answer (head and body).
  Answer Read(bool is_head_request = false);
  Answer Ask(std::string_view bytes) {
    Send(bytes);
    return Read();
  }
  // For streams: the head alone, then one chunk at a time ("" is the last chunk; none: cut off).
  Answer ReadHead();
  std::optional<std::string> ReadChunk();
  // Whether the server has closed, within `timeout_ms`.
  bool WaitClosed(int timeout_ms);
  void Close();

 private:
  bool Fill();
  std::optional<std::string> Line();
  std::optional<std::string> Exactly(std::size_t count);

  UniqueFd fd_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  bool ok_ = false;
  std::string buffer_;
};

// A handler made of a function.
class FunctionHandler final : public HttpHandler {
 public:
  using Function = std::function<HttpResponse(const HttpRequest&)>;
  using Judge = std::function<std::optional<HttpResponse>(const HttpRequest&)>;
  explicit FunctionHandler(Function function, Judge judge = {})
      : function_(std::move(function)), judge_(std::move(judge)) {}
  std::optional<HttpResponse> Refuse(const HttpRequest& request) override {
    return judge_ ? judge_(request) : std::nullopt;
  }
  HttpResponse Handle(const HttpRequest& request) override { return function_(request); }

 private:
  Function function_;
  Judge judge_;
};

// A PKI made once per test program.
const std::string& PkiDirectory();
std::shared_ptr<TlsContext> ServerTls();
ClientTls AdminTls();

// Server and handler that live as long as the test.
class TestServer {
 public:
  TestServer(bool tls, FunctionHandler::Function function, HttpServerOptions options = {},
             FunctionHandler::Judge judge = {});
  // As the admin, where there are certificates.
  std::unique_ptr<Client> Connect() const;
  std::unique_ptr<Client> ConnectAnonymously() const;
  HttpServer& server() { return *server_; }
  std::uint16_t port() const { return server_->port(); }

 private:
  bool tls_;
  FunctionHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

// Suites run plain and over TLS; names the two runs.
inline std::string TransportName(const ::testing::TestParamInfo<bool>& run) {
  return run.param ? "Tls" : "Plain";
}

// Answers with method, segments, header x and the size of the body, so that a test sees what the
// server understood.
HttpResponse Echo(const HttpRequest& request);

}  // namespace forkplane::apiserver
