// Goal: requests arrive at the handler as they were sent, answers leave whole, and connections stay
// in step. Over real sockets, plain and TLS; one test for each trap of the HTTP library.
#include "controller/apiserver/http/http_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <thread>

#include "tests/unit/apiserver_http/client.h"

namespace forkplane::apiserver {
namespace {

class HttpServerTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(, HttpServerTest, ::testing::Bool(), TransportName);

TEST_P(HttpServerTest, KeepAliveCarriesRequestsOneAfterAnother) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  EXPECT_EQ(client->Ask("GET /a/b HTTP/1.1\r\nX: 1\r\n\r\n").body, "GET|a|b x=1 body=0");
  EXPECT_EQ(client->Ask("DELETE /c HTTP/1.1\r\n\r\n").body, "DELETE|c x= body=0");
  const Answer last = client->Ask("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(last.headers.at("connection"), "close");
  EXPECT_TRUE(client->WaitClosed(5000));
}

TEST_P(HttpServerTest, RequestsSentTogetherAreAnsweredInOrder) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  client->Send("POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client->Read().body, "POST|1 x= body=3");
  EXPECT_EQ(client->Read().body, "GET|2 x= body=0");
}

TEST_P(HttpServerTest, AnEmptyPostWithoutALengthIsAnsweredAtOnce) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE"}) {
    const auto begin = std::chrono::steady_clock::now();
    const Answer answer = client->Ask(std::string(method) + " /a HTTP/1.1\r\n\r\n");
    EXPECT_EQ(answer.body, std::string(method) + "|a x= body=0");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  }
}

TEST_P(HttpServerTest, ABodyNobodyReadsDoesNotShiftTheNextRequest) {
  TestServer server(GetParam(), [](const HttpRequest&) { return HttpResponse{.status = 403}; });
  const auto client = server.Connect();
  for (const char* method : {"GET", "POST", "DELETE"}) {
    EXPECT_EQ(
        client->Ask(std::string(method) + " /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").status,
        403);
  }
}

TEST_P(HttpServerTest, FormBodiesAreBytesLikeAnyOther) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  EXPECT_EQ(client
                ->Ask("POST /a HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                      "Content-Length: 100000\r\n\r\n" +
                      std::string(100'000, 'f'))
                .body,
            "POST|a x= body=100000");
  EXPECT_EQ(client
                ->Ask("POST /a HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                      "Content-Length: 3\r\n\r\nabc")
                .body,
            "POST|a x= body=3");
}

TEST_P(HttpServerTest, ChunkedBodiesAreReadWithTheirTrailers) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  client->Send(
      "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;name=value\r\nhello\r\n6\r\n world\r\n0\r\nT: v\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client->Read().body, "PUT|a x= body=11");
  EXPECT_EQ(client->Read().body, "GET|b x= body=0");
}

TEST_P(HttpServerTest, CompressedBodiesAreNotInflated) {
  TestServer server(GetParam(), Echo);
  std::string bomb(2000, '\0');
  EXPECT_EQ(
      server.Connect()
          ->Ask("POST /a HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 2000\r\n\r\n" + bomb)
          .body,
      "POST|a x= body=2000");
}

TEST_P(HttpServerTest, HeaderValuesArePassedOnAsTheyAre) {
  TestServer server(GetParam(), Echo);
  EXPECT_EQ(server.Connect()->Ask("GET / HTTP/1.1\r\nX: a%20b%0d%0a+c\r\n\r\n").body,
            "GET x=a%20b%0d%0a+c body=0");
}

TEST_P(HttpServerTest, ABadEscapeInTheTargetIs400) {
  TestServer server(GetParam(), Echo);
  const Answer answer = server.Connect()->Ask("GET /a%zz HTTP/1.1\r\n\r\n");
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.body.find(R"("reason":"BadRequest")"), std::string::npos);
}

TEST_P(HttpServerTest, Expect100IsAnsweredBeforeTheBodyAndNotBeforeARefusal) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  client->Send("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client->Read().status, 100);
  EXPECT_EQ(client->Ask("ab").body, "POST|a x= body=2");
  EXPECT_EQ(
      client->Ask("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4000000\r\n\r\n")
          .status,
      413);
}

TEST_P(HttpServerTest, HeadHasTheLengthWithoutTheBody) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  client->Send("HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client->Read(/*is_head_request=*/true).headers.at("content-length"), "16");
  EXPECT_EQ(client->Read().body, "GET|b x= body=0");
}

TEST_P(HttpServerTest, EveryAnswerHasDateAuditIdAndCacheControl) {
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  const Answer answer = client->Ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(answer.headers.at("date").size(), std::string("Sun, 06 Nov 1994 08:49:37 GMT").size());
  EXPECT_EQ(answer.headers.at("audit-id").size(), 36U);
  EXPECT_EQ(answer.headers.at("cache-control"), "no-cache, private");
  EXPECT_FALSE(answer.headers.contains("keep-alive"));
  const Answer refused = client->Ask("GET / HTTP/3\r\n\r\n");
  EXPECT_EQ(refused.status, 505);
  EXPECT_TRUE(refused.headers.contains("audit-id"));
}

TEST_P(HttpServerTest, AnExceptionIsA500ThatTellsNothing) {
  TestServer server(
      GetParam(), [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("a secret"); });
  const auto client = server.Connect();
  const Answer answer = client->Ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body.find("secret"), std::string::npos);
  EXPECT_FALSE(answer.headers.contains("exception_what"));
  EXPECT_EQ(client->Ask("GET / HTTP/1.1\r\n\r\n").status, 500) << "the connection lives on";
}

TEST_P(HttpServerTest, AHeaderValueCannotBeginAnotherHeader) {
  TestServer server(GetParam(), [](const HttpRequest&) {
    HttpResponse response;
    response.headers.emplace_back("Warning", "299 - \"a\r\nEvil: 1\"");
    return response;
  });
  const Answer answer = server.Connect()->Ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(answer.headers.contains("evil"));
  EXPECT_EQ(answer.headers.at("warning"), "299 - \"a  Evil: 1\"");
}

std::string Gunzip(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(::inflateInit2(&stream, 15 + 16), Z_OK);
  std::string out(std::size_t{16} * 1024 * 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::inflateEnd(&stream);
  return out;
}

TEST_P(HttpServerTest, BigAnswersAreGzippedForThoseWhoTakeIt) {
  std::string text;
  while (text.size() <= std::size_t{1024} * 1024)
    text += fmt::format("{{\"number\":{}}}\n", text.size());
  const auto shared = std::make_shared<const std::string>(text);
  TestServer server(GetParam(), [&](const HttpRequest& request) {
    HttpResponse response;
    if (request.path == "/small") response.body = std::string(std::size_t{128} * 1024, 's');
    if (request.path == "/big") response.shared_body = shared;
    EXPECT_EQ(request.Header("accept-encoding"), "");
    return response;
  });
  const auto client = server.Connect();
  const Answer zipped = client->Ask("GET /big HTTP/1.1\r\nAccept-Encoding: br, gzip;q=0.5\r\n\r\n");
  EXPECT_EQ(zipped.headers.at("content-encoding"), "gzip");
  EXPECT_LT(zipped.body.size(), text.size() / 2);
  EXPECT_EQ(Gunzip(zipped.body), text);
  const Answer plain = client->Ask("GET /big HTTP/1.1\r\nAccept-Encoding: gzip;q=0, br\r\n\r\n");
  EXPECT_FALSE(plain.headers.contains("content-encoding"));
  EXPECT_EQ(plain.body, text);
  const Answer small = client->Ask("GET /small HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
  EXPECT_FALSE(small.headers.contains("content-encoding"));
}

TEST_P(HttpServerTest, APortInUseIsAnError) {
  TestServer server(GetParam(), Echo);
  FunctionHandler handler(Echo);
  HttpServerOptions options;
  options.address = fmt::format("127.0.0.1:{}", server.port());
  const auto second = HttpServer::Start(options, handler);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("Address already in use"), std::string::npos);
}

TEST_P(HttpServerTest, BadAddressesAreRefused) {
  FunctionHandler handler(Echo);
  for (const char* address : {"", "127.0.0.1", "example.com:1", "127.0.0.1:http", "[::1:5"}) {
    HttpServerOptions options;
    options.address = address;
    EXPECT_FALSE(HttpServer::Start(options, handler).ok()) << address;
  }
}

// The sockets of this process and their open flags, read from /proc: a system call on the server's
// descriptors would race with its threads.
std::map<std::string, bool> SocketsAndWhetherTheyCloseOnExec() {
  std::map<std::string, bool> sockets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (!target.starts_with("socket:")) continue;
    std::ifstream info("/proc/self/fdinfo/" + entry.path().filename().string());
    std::string word;
    while (info >> word && word != "flags:") {
    }
    info >> word;
    sockets[target] = (std::stoul(word, nullptr, 8) & O_CLOEXEC) != 0;
  }
  return sockets;
}

// A VMM that inherits an API connection would keep it open for ever.
TEST_P(HttpServerTest, NoSocketIsInheritedByChildren) {
  const auto before = SocketsAndWhetherTheyCloseOnExec();
  TestServer server(GetParam(), Echo);
  const auto client = server.Connect();
  client->Ask("GET / HTTP/1.1\r\n\r\n");
  int added = 0;
  for (const auto& [socket, closes_on_exec] : SocketsAndWhetherTheyCloseOnExec()) {
    if (before.contains(socket)) continue;
    ++added;
    EXPECT_TRUE(closes_on_exec) << socket;
  }
  EXPECT_EQ(added, 3) << "listener, accepted, client";
}

// Method: count how often any thread of this process gave up the processor while 100 connections
// did nothing. A loop that polls every 10 ms would be seen 3000 times.
TEST_P(HttpServerTest, IdleConnectionsSleep) {
  TestServer server(GetParam(), Echo);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(server.Connect());
    ASSERT_EQ(clients.back()->Ask("GET / HTTP/1.1\r\n\r\n").status, 200);
  }
  rusage before{};
  rusage after{};
  ::getrusage(RUSAGE_SELF, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 100);
}

}  // namespace
}  // namespace forkplane::apiserver
