// Goal: what a hostile or careless client sends is bounded in bytes, lines and time, and answered
// with a Status where an answer can be given. Over real sockets, plain and TLS.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/apiserver_http/client.h"

namespace forkplane::apiserver {
namespace {

constexpr std::size_t kMiB = std::size_t{1024} * 1024;

class HttpLimitsTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(, HttpLimitsTest, ::testing::Bool(), TransportName);

TEST_P(HttpLimitsTest, ABodyOverTheLimitIs413AndSaysSo) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  const Answer answer = client->Ask("POST /a HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n" +
                                    std::string(4 * kMiB, 'x'));
  EXPECT_EQ(answer.status, 413);
  EXPECT_NE(answer.body.find(R"("message":"Request entity too large: limit is 3145728")"),
            std::string::npos);
  EXPECT_NE(answer.body.find(R"("reason":"RequestEntityTooLarge")"), std::string::npos);
  EXPECT_EQ(answer.headers.at("connection"), "close");
}

TEST_P(HttpLimitsTest, AChunkedBodyOverTheLimitIs413) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  client->Send("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 4; ++i) client->Send("100000\r\n" + std::string(kMiB, 'x') + "\r\n");
  EXPECT_EQ(client->Read().status, 413);
}

TEST_P(HttpLimitsTest, ABodyOfExactlyTheLimitPasses) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  const Answer answer = client->Ask("POST /a HTTP/1.1\r\nContent-Length: 3145728\r\n\r\n" +
                                    std::string(3 * kMiB, 'x'));
  EXPECT_EQ(answer.body, "POST|a x= body=3145728");
}

TEST_P(HttpLimitsTest, HeaderLinesWithoutEndAreRefused) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  client->Send("GET / HTTP/1.1\r\n");
  std::string lines;
  for (int i = 0; i < 2000; ++i) lines += "a: b\r\n";
  for (int i = 0; i < 100 && client->Send(lines); ++i) {
  }
  EXPECT_EQ(client->Read().status, 431);
}

TEST_P(HttpLimitsTest, ALongPathAndALongRangeAreHarmless) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  const std::string path(30'000, 'p');
  EXPECT_EQ(client->Ask("GET /" + path + " HTTP/1.1\r\n\r\n").body, "GET|" + path + " x= body=0");
  std::string range = "bytes=0-1";
  for (int i = 0; i < 2000; ++i) range += ",0-1";
  const Answer answer = client->Ask("GET /a HTTP/1.1\r\nRange: " + range + "\r\n\r\n");
  EXPECT_EQ(answer.status, 200) << "ranges are never served";
  EXPECT_EQ(answer.body, "GET|a x= body=0");
}

TEST_P(HttpLimitsTest, ABrokenChunkIsNotTheEndOfABody) {
  TestServer server(GetParam(), Echo);
  for (const char* body : {"5\r\nhelloX\r\n0\r\n\r\n", "-1\r\nx\r\n0\r\n\r\n", "zz\r\n\r\n",
                           "ffffffffff\r\n", "\r\n\r\n"}) {
    const auto client = server.Connect();
    const Answer answer =
        client->Ask(std::string("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n") + body);
    EXPECT_EQ(answer.status, 400) << body;
  }
}

TEST_P(HttpLimitsTest, ASlowHeadIsCutOff) {
  HttpServerOptions options;
  options.timeouts.head = std::chrono::milliseconds(100);
  TestServer server(GetParam(), Echo, options);
  const auto client = server.Connect();
  client->Send("GET / HTTP/1.1\r\nHost:");
  EXPECT_TRUE(client->WaitClosed(5000));
  EXPECT_EQ(client->Read().status, 0);
}

TEST_P(HttpLimitsTest, ASlowBodyIsCutOff) {
  HttpServerOptions options;
  options.timeouts.request = std::chrono::milliseconds(100);
  TestServer server(GetParam(), Echo, options);
  const auto client = server.Connect();
  client->Send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello");
  EXPECT_TRUE(client->WaitClosed(5000));
}

TEST_P(HttpLimitsTest, AnIdleConnectionIsClosedInTheEnd) {
  HttpServerOptions options;
  options.budget.idle = std::chrono::milliseconds(100);
  TestServer server(GetParam(), Echo, options);
  const auto client = server.Connect();
  EXPECT_EQ(client->Ask("GET / HTTP/1.1\r\n\r\n").status, 200);
  EXPECT_TRUE(client->WaitClosed(5000));
}

TEST_P(HttpLimitsTest, ConnectionsOverTheLimitAreTold503) {
  HttpServerOptions options;
  options.connections_max = 2;
  TestServer server(GetParam(), Echo, options);
  const auto first = server.Connect();
  const auto second = server.Connect();
  EXPECT_EQ(first->Ask("GET / HTTP/1.1\r\n\r\n").status, 200);
  EXPECT_EQ(second->Ask("GET / HTTP/1.1\r\n\r\n").status, 200);
  const Answer refused = server.Connect()->Ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(refused.headers.at("connection"), "close");
  // The refused one must be gone and the closed one reaped before there is room again.
  first->Close();
  int status = 0;
  for (int i = 0; i < 1000 && status != 200; ++i) {
    status = server.Connect()->Ask("GET / HTTP/1.1\r\n\r\n").status;
  }
  EXPECT_EQ(status, 200);
}

}  // namespace
}  // namespace forkplane::apiserver
