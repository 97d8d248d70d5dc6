// Goal: the reader of requests has one opinion about where each request ends, whatever bytes come
// and in whatever pieces, and takes no more than its budget.
// Method: a transport with known bytes, no sockets and no time. The mutants are ten thousand seeded
// corruptions of right requests; each is read twice, in different pieces, and what is accepted is
// written down in a plain form and read again.
#include "controller/apiserver/http/http_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "controller/base/rng.h"
#include "tests/unit/apiserver_http/scripted_transport.h"

namespace forkplane::apiserver {
namespace {

const HttpTimeouts kTimeouts;

// What the reader made of the bytes: requests, then why it stopped.
struct Reading {
  std::vector<ReadRequest> requests;
  int refused = 0;  // 0: the client closed
  std::string message;
  std::size_t bytes = 0;
  std::string said;
};

Reading ReadAll(const std::string& bytes, std::size_t piece, const HttpBudget& budget = {}) {
  ScriptedTransport transport(bytes, piece);
  RequestReader reader(transport, kTimeouts, budget);
  Reading reading;
  std::optional<NoRequest> end;
  while (!end) {
    auto next = reader.ReadHead();
    if (auto* none = std::get_if<NoRequest>(&next)) {
      end = std::move(*none);
    } else {
      auto& read = std::get<ReadRequest>(next);
      end = reader.ReadBody(read);
      if (!end) reading.requests.push_back(std::move(read));
    }
  }
  if (end->refusal) {
    reading.refused = end->refusal->status;
    reading.message = end->refusal->message;
  }
  reading.bytes = transport.bytes_read();
  reading.said = transport.written();
  return reading;
}

std::string ToText(const Reading& reading) {
  std::string text;
  for (const ReadRequest& read : reading.requests) {
    text += fmt::format("{} {} keep={} gzip={}", read.request.method, read.request.target,
                        read.keep_alive, read.accepts_gzip);
    for (const auto& [name, value] : read.request.headers)
      text += fmt::format(" {}={}", name, value);
    text += fmt::format(" body={}\n", read.request.body);
  }
  return text + fmt::format("{} {}", reading.refused, reading.message);
}

std::string Chunked(const std::string& chunks) {
  return "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks;
}

TEST(HttpReaderTest, OnlyAFewEmptyLinesMayComeBeforeARequest) {
  const std::string get = "GET /a HTTP/1.1\r\n\r\n";
  EXPECT_EQ(ReadAll("\r\n\r\n" + get, 1).requests.size(), 1U);
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "\r\n";
  const Reading reading = ReadAll(many + get, 4096);
  EXPECT_EQ(reading.refused, 400);
  EXPECT_LE(reading.bytes, 4096U) << "not one read more than it took to see it";
}

TEST(HttpReaderTest, AHeadIsBoundedByTheBudgetToTheByte) {
  const HttpBudget budget{.head_bytes = 200};
  const std::string frame = "GET / HTTP/1.1\r\nA: \r\n\r\n";
  const auto head = [&](std::size_t size) {
    return "GET / HTTP/1.1\r\nA: " + std::string(size - frame.size(), 'x') + "\r\n\r\n";
  };
  for (const std::size_t piece : {1U, 7U, 4096U}) {
    EXPECT_EQ(ReadAll(head(200), piece, budget).requests.size(), 1U);
    const Reading reading = ReadAll(head(201), piece, budget);
    EXPECT_EQ(reading.refused, 431);
    EXPECT_EQ(reading.message, "request head over 200 bytes");
  }
  EXPECT_LE(ReadAll("GET /" + std::string(1'000'000, 'q'), 100, budget).bytes, 300U);
  // An overlong query is a part of the head like any other.
  EXPECT_EQ(ReadAll("GET /a?limit=" + std::string(70'000, '1') + " HTTP/1.1\r\n\r\n", 4096).refused,
            431);
}

TEST(HttpReaderTest, ABodyIsBoundedByTheBudgetToTheByte) {
  const HttpBudget budget{.body_bytes = 5};
  const auto plain = [](int size) {
    return fmt::format("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}", size,
                       std::string(static_cast<std::size_t>(size), 'x'));
  };
  EXPECT_EQ(ReadAll(plain(5), 3, budget).requests.size(), 1U);
  EXPECT_EQ(ReadAll(plain(6), 3, budget).refused, 413);
  EXPECT_EQ(ReadAll(Chunked("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), 3, budget).requests.size(), 1U);
  EXPECT_EQ(ReadAll(Chunked("2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n"), 3, budget).refused, 413);
  // None at all: what is chunked may still be empty.
  EXPECT_EQ(ReadAll(plain(1), 3, kAnonymousBudget).refused, 413);
  EXPECT_EQ(ReadAll(Chunked("1\r\na\r\n0\r\n\r\n"), 3, kAnonymousBudget).refused, 413);
  EXPECT_EQ(ReadAll(Chunked("0\r\n\r\n"), 3, kAnonymousBudget).requests.size(), 1U);
}

TEST(HttpReaderTest, OverflowingLengthsAre413) {
  for (const char* digits : {"3145729", "18446744073709551615", "18446744073709551617"}) {
    EXPECT_EQ(ReadAll(std::string("POST / HTTP/1.1\r\nContent-Length: ") + digits + "\r\n\r\n", 64)
                  .refused,
              413)
        << digits;
  }
}

TEST(HttpReaderTest, ChunksAreReadInOneWayOrNotAtAll) {
  for (const char* good : {"5\r\nhello\r\n0\r\n\r\n", "5;a=b;c=\"d\"\r\nhello\r\n0\r\n\r\n",
                           "005 ;a\r\nhello\r\n0\r\nT: v\r\n\r\n"}) {
    const Reading reading = ReadAll(Chunked(good), 4096);
    ASSERT_EQ(reading.requests.size(), 1U) << good << reading.message;
    EXPECT_EQ(reading.requests[0].request.body, "hello");
  }
  for (const char* bad :
       {"5 6\r\nhello\r\n0\r\n\r\n", "5 x\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
        ";a\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "10000000\r\n",
        "ffffffffffffffff\r\n", "0\r\nT: v\nU: w\r\n\r\n"}) {
    const Reading reading = ReadAll(Chunked(bad), 4096);
    EXPECT_TRUE(reading.requests.empty()) << bad;
    EXPECT_EQ(reading.refused, 400) << bad;
  }
}

TEST(HttpReaderTest, ExtensionsAndTrailersAreBounded) {
  const std::string extension = ";" + std::string(1000, 'e');
  std::string chunks;
  for (int i = 0; i < 50; ++i) chunks += "1" + extension + "\r\nx\r\n";
  const HttpBudget budget{.body_bytes = 1024};
  const Reading reading = ReadAll(Chunked(chunks), 4096, budget);
  EXPECT_EQ(reading.refused, 413);
  EXPECT_LT(reading.bytes, 12U * 1024);
  EXPECT_EQ(ReadAll(Chunked("1;" + std::string(1100, 'e') + "\r\nx\r\n"), 4096).refused, 400);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 1000; ++i) trailers += "T: v\r\n";
  EXPECT_EQ(ReadAll(Chunked(trailers), 4096).refused, 431);
}

// The most lines a body can cost: no bound on what is not body may refuse it.
TEST(HttpReaderTest, AMegabyteOfOneByteChunksIsRead) {
  std::string chunks;
  for (int i = 0; i < 1024 * 1024; ++i) chunks += "1\r\nx\r\n";
  const Reading reading = ReadAll(Chunked(chunks + "0\r\n\r\n"), std::size_t{1024} * 1024);
  ASSERT_EQ(reading.requests.size(), 1U) << reading.message;
  EXPECT_EQ(reading.requests[0].request.body.size(), 1024U * 1024);
}

TEST(HttpReaderTest, ContinueIsSaidWhenTheBodyIsReadAndOnlyIfItIsWaitedFor) {
  const std::string head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  ScriptedTransport transport(head + "ab", head.size());
  RequestReader reader(transport, kTimeouts, {});
  auto read = std::get<ReadRequest>(reader.ReadHead());
  EXPECT_EQ(transport.written(), "");
  EXPECT_FALSE(reader.ReadBody(read));
  EXPECT_EQ(transport.written(), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(read.request.body, "ab");
  EXPECT_EQ(ReadAll(head + "ab", 4096).said, "") << "the body is here already";
}

// The plain form of a request that was accepted.
std::string Rewritten(const ReadRequest& read) {
  const HttpRequest& request = read.request;
  std::string text = fmt::format("{} {} HTTP/1.1\r\n", request.method, request.target);
  for (const auto& [name, value] : request.headers) {
    if (name == "content-length" || name == "transfer-encoding") continue;
    text += fmt::format("{}: {}\r\n", name, value);
  }
  return text + fmt::format("content-length: {}\r\n\r\n{}", request.body.size(), request.body);
}

class Mutator {
 public:
  std::string Next() {
    static const std::vector<std::string> seeds = {
        "GET /api/v1/namespaces/a%2Fb/configmaps?limit=5&watch HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
        "PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;e=1\r\nhello\r\n0\r\nT: v\r\n\r\n",
        "PATCH http://h:1/c?x=/y HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        "\r\nHEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"};
    std::string text;
    for (std::uint64_t n = 1 + random_.Below(3); n > 0; --n) text += Pick(seeds);
    for (std::uint64_t n = 1 + random_.Below(3); n > 0; --n) Corrupt(text);
    return text;
  }
  std::size_t Piece() { return 1 + random_.Below(40); }

 private:
  const std::string& Pick(const std::vector<std::string>& from) {
    return from[random_.Below(from.size())];
  }
  void Corrupt(std::string& text) {
    static const std::vector<std::string> pieces = {"\r\n",
                                                    "\n",
                                                    "\r",
                                                    std::string(1, '\0'),
                                                    " ",
                                                    ":",
                                                    ";",
                                                    "%",
                                                    "%00",
                                                    ",",
                                                    "0",
                                                    "-",
                                                    "f",
                                                    "\r\n\r\n",
                                                    "Content-Length: 5\r\n",
                                                    "Content-Length: 99999999999999999999\r\n",
                                                    "Transfer-Encoding: chunked\r\n",
                                                    "Transfer-Encoding: gzip\r\n",
                                                    " HTTP/1.1",
                                                    "\x80\xff",
                                                    "0\r\n\r\n",
                                                    "GET /smuggled HTTP/1.1\r\n\r\n"};
    if (text.empty()) return;
    const std::uint64_t at = random_.Below(text.size());
    switch (random_.Below(4)) {
      case 0:
        text[at] = static_cast<char>(random_.Below(256));
        return;
      case 1:
        text.erase(at, 1 + random_.Below(8));
        return;
      case 2:
        text.insert(at, text.substr(random_.Below(text.size()), random_.Below(30)));
        return;
      default:
        text.insert(at, Pick(pieces));
    }
  }

  SeededRng random_{20261127};
};

TEST(HttpReaderTest, TenThousandMutantsAreReadInOneWay) {
  Mutator mutator;
  std::map<int, int> ends;
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string bytes = mutator.Next();
    const Reading whole = ReadAll(bytes, bytes.size() + 1);
    const Reading pieces = ReadAll(bytes, mutator.Piece());
    ASSERT_EQ(ToText(whole), ToText(pieces)) << "mutant " << i << ":\n" << bytes;
    ++ends[whole.refused];
    ASSERT_TRUE(whole.refused == 0 || (whole.refused >= 400 && !whole.message.empty())) << bytes;
    std::string rewritten;
    for (const ReadRequest& read : whole.requests) {
      ++accepted;
      for (const auto& [name, value] : read.request.headers) {
        ASSERT_FALSE(HasControl(name) || HasControl(value)) << bytes;
      }
      if (!read.framing.chunked) {
        ASSERT_EQ(read.request.body.size(), read.framing.content_length);
      }
      rewritten += Rewritten(read);
    }
    const Reading again = ReadAll(rewritten, rewritten.size() + 1);
    ASSERT_EQ(again.requests.size(), whole.requests.size()) << bytes << "\n---\n" << rewritten;
    for (std::size_t n = 0; n < again.requests.size(); ++n) {
      ASSERT_EQ(Rewritten(again.requests[n]), Rewritten(whole.requests[n]));
    }
  }
  // The mutants are neither all alike nor all broken.
  EXPECT_GT(accepted, 3000);
  EXPECT_GT(ends[400], 1000);
  for (const int status : {0, 413, 501, 505}) EXPECT_GT(ends[status], 0) << status;
}

}  // namespace
}  // namespace forkplane::apiserver
