// Goal: watches. They start at once, are never held back by a buffer, do not starve other requests,
// end when the client goes, and end cleanly when the server stops.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/unit/apiserver_http/client.h"

namespace forkplane::apiserver {
namespace {

constexpr const char* kWatch = "GET /watch HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n";

// Streams that wait for an eventfd of the test's and write an event each time it is readable.
class Watches {
 public:
  HttpResponse Handle(const HttpRequest& request) {
    if (request.path != "/watch") return Echo(request);
    HttpResponse response;
    response.stream = [this](StreamSink& sink) { Run(sink); };
    return response;
  }
  void Kick() {
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof(one));
  }
  int open() const { return open_; }
  bool WaitOpen(int count) const {
    for (int i = 0; i < 2000 && open_ != count; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return open_ == count;
  }

 private:
  void Run(StreamSink& sink) {
    ++open_;
    bool alive = true;
    while (alive) {
      switch (sink.Wait(event_.get(), MonotonicTime::max())) {
        case StreamSink::Event::kReady: {
          std::uint64_t count = 0;
          (void)!::read(event_.get(), &count, sizeof(count));
          alive = sink.Write("event\n");
          break;
        }
        case StreamSink::Event::kTimeout:
          break;
        case StreamSink::Event::kClosed:
          alive = false;
          break;
      }
    }
    --open_;
  }

  UniqueFd event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<int> open_{0};
};

class HttpStreamTest : public ::testing::TestWithParam<bool> {
 protected:
  Watches watches_;
  TestServer server_{GetParam(), [this](const HttpRequest& r) { return watches_.Handle(r); }};
};

INSTANTIATE_TEST_SUITE_P(, HttpStreamTest, ::testing::Bool(), TransportName);

TEST_P(HttpStreamTest, HeadersComeBeforeTheFirstEventAndEventsAtOnceAndUncompressed) {
  const auto client = server_.Connect();
  client->Send(kWatch);
  const Answer head = client->ReadHead();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("transfer-encoding"), "chunked");
  EXPECT_FALSE(head.headers.contains("content-encoding"));
  watches_.Kick();
  EXPECT_EQ(client->ReadChunk(), "event\n");
  watches_.Kick();
  EXPECT_EQ(client->ReadChunk(), "event\n");
}

TEST_P(HttpStreamTest, ManyWatchesDoNotStarveARequest) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 32; ++i) {
    clients.push_back(server_.Connect());
    clients.back()->Send(kWatch);
    ASSERT_EQ(clients.back()->ReadHead().status, 200);
  }
  EXPECT_EQ(server_.Connect()->Ask("GET /version HTTP/1.1\r\n\r\n").status, 200);
}

TEST_P(HttpStreamTest, AClientThatClosesEndsItsWatch) {
  const auto client = server_.Connect();
  client->Send(kWatch);
  EXPECT_EQ(client->ReadHead().status, 200);
  EXPECT_TRUE(watches_.WaitOpen(1));
  client->Close();
  EXPECT_TRUE(watches_.WaitOpen(0));
}

TEST_P(HttpStreamTest, StoppingEndsTwoHundredWatchesWithALastChunk) {
  constexpr int kCount = 200;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kCount; ++i) {
    clients.push_back(server_.Connect());
    clients.back()->Send(kWatch);
    ASSERT_EQ(clients.back()->ReadHead().status, 200);
  }
  const auto idle = server_.Connect();
  EXPECT_EQ(idle->Ask("GET / HTTP/1.1\r\n\r\n").status, 200);
  EXPECT_TRUE(watches_.WaitOpen(kCount));
  const auto begin = std::chrono::steady_clock::now();
  server_.server().Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(watches_.open(), 0);
  for (const auto& client : clients) EXPECT_EQ(client->ReadChunk(), "");
  EXPECT_TRUE(idle->WaitClosed(5000));
}

TEST_P(HttpStreamTest, WaitReportsItsDeadline) {
  TestServer server(GetParam(), [](const HttpRequest&) {
    HttpResponse response;
    response.stream = [](StreamSink& sink) {
      const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
      const auto result = sink.Wait(event.get(), RealClock().Now() + std::chrono::milliseconds(20));
      sink.Write(result == StreamSink::Event::kTimeout ? "timeout" : "other");
      sink.Write("");  // nothing, and not the end
      sink.Write("more");
    };
    return response;
  });
  const auto client = server.Connect();
  const Answer answer = client->Ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(answer.body, "timeoutmore");
  EXPECT_TRUE(answer.complete);
}

TEST_P(HttpStreamTest, AClientThatDoesNotReadIsGivenUp) {
  std::atomic<bool> gave_up{false};
  HttpServerOptions options;
  options.timeouts.write = std::chrono::milliseconds(200);
  TestServer server(
      GetParam(),
      [&](const HttpRequest&) {
        HttpResponse response;
        response.stream = [&](StreamSink& sink) {
          const std::string block(std::size_t{1024} * 1024, 'b');
          for (int i = 0; i < 1000 && !gave_up; ++i) gave_up = !sink.Write(block);
        };
        return response;
      },
      options);
  const auto client = server.Connect();
  client->Send("GET / HTTP/1.1\r\n\r\n");
  for (int i = 0; i < 1000 && !gave_up; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(gave_up);
}

TEST_P(HttpStreamTest, AStreamThatThrowsIsNotTakenForACleanEnd) {
  TestServer server(GetParam(), [](const HttpRequest&) {
    HttpResponse response;
    response.stream = [](StreamSink& sink) {
      sink.Write("half");
      throw std::runtime_error("broken");
    };
    return response;
  });
  const Answer answer = server.Connect()->Ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(answer.body, "half");
  EXPECT_FALSE(answer.complete);
}

}  // namespace
}  // namespace forkplane::apiserver
