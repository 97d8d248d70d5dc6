// Goal: who may not is told so by the head alone, and who has not said who he is gets little: few
// bytes, little time, few connections.
// Method: over real sockets. A client that is refused never sends the body it declared: a server
// that waited for it would never answer, and the client gives up after 20 s.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <vector>

#include "tests/unit/apiserver_http/client.h"

namespace forkplane::apiserver {
namespace {

constexpr std::size_t kMiB = std::size_t{1024} * 1024;
constexpr const char* kGet = "GET /a HTTP/1.1\r\n\r\n";

// Nobody may go where "x" is "no".
std::optional<HttpResponse> Judge(const HttpRequest& request) {
  EXPECT_EQ(request.body, "");
  if (request.Header("x") != "no") return std::nullopt;
  return HttpResponse{.status = 403, .body = "refused"};
}

class HttpAdmissionTest : public ::testing::TestWithParam<bool> {
 protected:
  // Whoever is refused and still sends is listened to for as long as it takes on a busy machine.
  static HttpServerOptions Options() {
    HttpServerOptions options;
    options.timeouts.linger = std::chrono::minutes(1);
    return options;
  }

  std::atomic<int> handled_{0};
  TestServer server_{GetParam(),
                     [this](const HttpRequest& request) {
                       ++handled_;
                       return Echo(request);
                     },
                     Options(), Judge};
};

INSTANTIATE_TEST_SUITE_P(, HttpAdmissionTest, ::testing::Bool(), TransportName);

TEST_P(HttpAdmissionTest, ARefusalComesBeforeTheDeclaredBody) {
  const auto client = server_.Connect();
  const Answer answer = client->Ask("POST /a HTTP/1.1\r\nX: no\r\nContent-Length: 3145728\r\n\r\n");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.body, "refused");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(client->WaitClosed(5000));
  EXPECT_EQ(handled_, 0);
}

TEST_P(HttpAdmissionTest, ARefusalComesBeforeTheFirstChunk) {
  const auto client = server_.Connect();
  const Answer answer =
      client->Ask("POST /a HTTP/1.1\r\nX: no\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_EQ(handled_, 0);
}

TEST_P(HttpAdmissionTest, ARefusalComesBeforeTheSizeIsJudged) {
  EXPECT_EQ(server_.Connect()
                ->Ask("POST /a HTTP/1.1\r\nX: no\r\nContent-Length: 99999999999999999999\r\n\r\n")
                .status,
            403);
}

TEST_P(HttpAdmissionTest, ContinueIsNotSaidToTheRefused) {
  const char* rest = "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  EXPECT_EQ(server_.Connect()->Ask(std::string("POST /a HTTP/1.1\r\nX: no\r\n") + rest).status,
            403);
  const auto client = server_.Connect();
  EXPECT_EQ(client->Ask(std::string("POST /a HTTP/1.1\r\nX: yes\r\n") + rest).status, 100);
  EXPECT_EQ(client->Ask("ab").body, "POST|a x=yes body=2");
}

// The body of the refused request is a request of its own to whoever lost count.
TEST_P(HttpAdmissionTest, ARefusedBodyIsNeverTakenForARequest) {
  const std::string smuggled = "DELETE /everything HTTP/1.1\r\n\r\n";
  for (const std::string& framing : {fmt::format("Content-Length: {}\r\n\r\n", smuggled.size()),
                                     std::string("Transfer-Encoding: chunked\r\n\r\n")}) {
    const auto client = server_.Connect();
    client->Send("POST /a HTTP/1.1\r\nX: no\r\n" + framing + smuggled + kGet);
    EXPECT_EQ(client->Read().status, 403);
    EXPECT_EQ(client->Read().status, 0) << "nothing follows";
  }
  EXPECT_EQ(handled_, 0);
}

TEST_P(HttpAdmissionTest, ARefusalWithoutABodyKeepsTheConnection) {
  const auto client = server_.Connect();
  client->Send(std::string("GET /a HTTP/1.1\r\nX: no\r\n\r\n") + kGet);
  EXPECT_EQ(client->Read().status, 403);
  EXPECT_EQ(client->Read().body, "GET|a x= body=0");
}

// A client that writes all before it reads still gets to read its answer.
TEST_P(HttpAdmissionTest, WhoSendsTheWholeBodyFirstStillReadsTheRefusal) {
  const auto client = server_.Connect();
  client->Send("POST /a HTTP/1.1\r\nX: no\r\nContent-Length: 3145728\r\n\r\n");
  client->Send(std::string(3 * kMiB, 'x'));
  EXPECT_EQ(client->Read().status, 403);
  EXPECT_EQ(server_.Connect()->Ask(kGet).status, 200);
}

TEST_P(HttpAdmissionTest, AnExceptionInTheJudgementIsA500) {
  TestServer server(GetParam(), Echo, {}, [](const HttpRequest&) -> std::optional<HttpResponse> {
    throw std::runtime_error("a secret");
  });
  const Answer answer = server.Connect()->Ask(kGet);
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body.find("secret"), std::string::npos);
}

TEST_P(HttpAdmissionTest, OverTheLimitABodyIsNotRead) {
  HttpServerOptions options;
  options.connections_max = 1;
  TestServer server(GetParam(), Echo, options);
  const auto first = server.Connect();
  EXPECT_EQ(first->Ask(kGet).status, 200);
  EXPECT_EQ(server.Connect()->Ask("POST /a HTTP/1.1\r\nContent-Length: 3145728\r\n\r\n").status,
            503);
}

TEST(HttpAnonymousTest, HasAHeadOfItsOwnSize) {
  HttpServerOptions options;
  options.anonymous_budget.head_bytes = 1000;
  const TestServer server(true, Echo, options);
  const std::string big = "GET /a HTTP/1.1\r\nX: " + std::string(1000, 'x') + "\r\n\r\n";
  EXPECT_EQ(server.ConnectAnonymously()->Ask(kGet).status, 200);
  EXPECT_EQ(server.ConnectAnonymously()->Ask(big).status, 431);
  EXPECT_EQ(server.Connect()->Ask(big).status, 200);
}

TEST(HttpAnonymousTest, HasNoBody) {
  const TestServer server(true, Echo);
  const std::string request = "GET /a HTTP/1.1\r\nContent-Length: 1\r\n\r\n";
  EXPECT_EQ(server.ConnectAnonymously()->Ask(request).status, 413);
  EXPECT_EQ(server.Connect()->Ask(request + "x").status, 200);
}

TEST(HttpAnonymousTest, IsNotWaitedForLong) {
  HttpServerOptions options;
  options.anonymous_budget.idle = std::chrono::milliseconds(50);
  const TestServer server(true, Echo, options);
  const auto admin = server.Connect();
  const auto anonymous = server.ConnectAnonymously();
  EXPECT_TRUE(anonymous->WaitClosed(5000));
  EXPECT_EQ(admin->Ask(kGet).status, 200) << "older, and still there";
}

// The oldest goes, and only among those without a certificate.
TEST(HttpAnonymousTest, TheNewestIsLetInForTheOldest) {
  metrics::Registry registry;
  HttpServerOptions options;
  options.anonymous_connections_max = 2;
  options.registry = &registry;
  TestServer server(true, Echo, options);
  const auto admin = server.Connect();
  ASSERT_EQ(admin->Ask(kGet).status, 200);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(server.ConnectAnonymously());
    ASSERT_EQ(clients.back()->Ask(kGet).status, 200);
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(clients[i]->WaitClosed(5000)) << i;
  for (std::size_t i = 3; i < 5; ++i) EXPECT_EQ(clients[i]->Ask(kGet).status, 200) << i;
  EXPECT_EQ(admin->Ask(kGet).status, 200);
  server.server().Stop();
  EXPECT_NE(
      registry.Serialize().find("forkplane_http_connections_evicted_total{listener=\"api\"} 3"),
      std::string::npos);
}

// Method: it has read the head of an answer that is larger than all buffers on the way, and reads
// on after it was closed: what was not sent by then is not sent any more.
TEST(HttpAnonymousTest, OneThatDoesNotReadMakesRoomAsWell) {
  HttpServerOptions options;
  options.anonymous_connections_max = 1;
  options.timeouts.write = std::chrono::hours(1);
  const TestServer server(
      true,
      [](const HttpRequest& request) {
        HttpResponse response;
        if (request.path != "/endless") return response;
        response.stream = [](StreamSink& sink) {
          const std::string block(kMiB, 'b');
          for (int i = 0; i < 64 && sink.Write(block); ++i) {
          }
        };
        return response;
      },
      options);
  const auto stuck = server.ConnectAnonymously();
  stuck->Send("GET /endless HTTP/1.1\r\n\r\n");
  ASSERT_EQ(stuck->ReadHead().status, 200);
  EXPECT_EQ(server.ConnectAnonymously()->Ask(kGet).status, 200);
  std::optional<std::string> chunk = stuck->ReadChunk();
  while (chunk && !chunk->empty()) chunk = stuck->ReadChunk();
  EXPECT_FALSE(chunk) << "cut off";
}

// Whoever fills the server with handshakes that never come does not keep the admin out.
TEST(HttpAnonymousTest, HandshakesThatNeverComeMakeRoom) {
  HttpServerOptions options;
  options.anonymous_connections_max = 4;
  options.timeouts.handshake = std::chrono::hours(1);
  const TestServer server(true, Echo, options);
  std::vector<std::unique_ptr<Client>> silent;
  silent.reserve(40);
  for (int i = 0; i < 40; ++i) silent.push_back(std::make_unique<Client>(server.port()));
  EXPECT_EQ(server.Connect()->Ask(kGet).status, 200);
  for (std::size_t i = 0; i < 36; ++i) EXPECT_TRUE(silent[i]->WaitClosed(5000)) << i;
}

TEST(HttpAnonymousTest, ASlowHandshakeIsCutOff) {
  HttpServerOptions options;
  options.timeouts.handshake = std::chrono::milliseconds(50);
  const TestServer server(true, Echo, options);
  Client client(server.port());
  client.Send("\x16\x03\x01");  // the first bytes of a hello
  EXPECT_TRUE(client.WaitClosed(5000));
}

}  // namespace
}  // namespace forkplane::apiserver
