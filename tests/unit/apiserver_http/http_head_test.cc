// Goal: the head parser takes what RFC 9112 allows and refuses what two parsers could read in two
// ways.
#include "controller/apiserver/http/http_head.h"

#include <gtest/gtest.h>

#include "controller/apiserver/http/http.h"

namespace forkplane::apiserver {
namespace {

RequestHead Parse(const std::string& text) {
  auto result = ParseRequestHead(text);
  const auto* refusal = std::get_if<Refusal>(&result);
  EXPECT_EQ(refusal, nullptr) << (refusal ? refusal->message : "");
  return refusal == nullptr ? std::get<RequestHead>(std::move(result)) : RequestHead{};
}

// 0: accepted.
int StatusOf(const std::string& text) {
  const auto result = ParseRequestHead(text);
  const auto* refusal = std::get_if<Refusal>(&result);
  return refusal == nullptr ? 0 : refusal->status;
}

TEST(HttpHeadTest, ReadsRequestLineAndFields) {
  const RequestHead head = Parse(
      "PATCH /apis/a/b?watch=1 HTTP/1.1\r\nHost: x\r\nContent-Type: a/b \r\nAccept: a\r\n"
      "accept:\tb\r\nContent-Length: 12\r\n\r\n");
  EXPECT_EQ(head.method, "PATCH");
  EXPECT_EQ(head.target, "/apis/a/b?watch=1");
  EXPECT_EQ(head.headers.at("content-type"), "a/b");
  EXPECT_EQ(head.headers.at("accept"), "a, b");
  EXPECT_EQ(head.framing.content_length, 12U);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.framing.chunked);
}

TEST(HttpHeadTest, KnowsWhenTheConnectionStaysOpen) {
  EXPECT_FALSE(Parse("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.1\r\nConnection: a, close\r\n\r\n").keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(Parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

TEST(HttpHeadTest, TakesTheAbsoluteForm) {
  EXPECT_EQ(Parse("GET http://host:1/a?b HTTP/1.1\r\n\r\n").target, "/a?b");
  EXPECT_EQ(Parse("GET HTTPS://host HTTP/1.1\r\n\r\n").target, "/");
  // The path is what the client sent as one, never a piece of its query.
  EXPECT_EQ(Parse("GET http://host?a=/version HTTP/1.1\r\n\r\n").target, "/?a=/version");
  EXPECT_EQ(Parse("GET http://a@b/version HTTP/1.1\r\n\r\n").target, "/version");
}

// A length of any size is read here; what is too much is for the one who knows the client.
TEST(HttpHeadTest, ALengthThatOverflowsIsTheGreatestThereIs) {
  for (const char* digits : {"18446744073709551616", "99999999999999999999999999999999999999999"}) {
    EXPECT_EQ(Parse(std::string("POST / HTTP/1.1\r\nContent-Length: ") + digits + "\r\n\r\n")
                  .framing.content_length,
              SIZE_MAX);
  }
}

TEST(HttpHeadTest, ANulIsRefusedWhereverItStands) {
  const std::string head = "GET /a HTTP/1.1\r\nX-Y: b\r\n\r\n";
  ASSERT_EQ(StatusOf(head), 0);
  const std::size_t end = head.size() - 4;
  for (std::size_t at = 0; at <= end; ++at) {
    std::string with_nul = head;
    with_nul.insert(at, 1, '\0');
    EXPECT_GE(StatusOf(with_nul), 400) << "at " << at;
  }
}

TEST(HttpHeadTest, Http10HasNeitherChunksNorExpectations) {
  EXPECT_EQ(StatusOf("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_FALSE(Parse("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
                   .framing.expect_continue);
}

TEST(HttpHeadTest, EqualContentLengthsAreOne) {
  EXPECT_EQ(Parse("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n")
                .framing.content_length,
            5U);
}

TEST(HttpHeadTest, RefusesWhatIsAmbiguousOrMalformed) {
  struct Case {
    const char* text;
    int status;
  };
  const Case cases[] = {
      {"\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\n\r\n", 400},
      {"G(T / HTTP/1.1\r\n\r\n", 400},
      {"GET a HTTP/1.1\r\n\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\n", 505},
      {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 5,,5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: -99999999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", 0},
      {"POST / HTTP/1.1\r\nExpect: magic\r\n\r\n", 417},
  };
  for (const Case& c : cases) EXPECT_EQ(StatusOf(c.text), c.status) << c.text;
}

TEST(HttpHeadTest, BoundsTheNumberOfFields) {
  std::string text = "GET / HTTP/1.1\r\n";
  for (std::size_t i = 0; i < kHeaderFieldsMax; ++i) text += "A: b\r\n";
  EXPECT_EQ(StatusOf(text + "\r\n"), 0);
  EXPECT_EQ(StatusOf(text + "A: b\r\n\r\n"), 431);
}

TEST(HttpTest, DecodesPathsAndQueries) {
  EXPECT_EQ(DecodePath("/api//v1/a%2Fb+c/"), (std::vector<std::string>{"api", "v1", "a/b+c"}));
  EXPECT_EQ(DecodePath("/"), std::vector<std::string>{});
  for (const char* bad : {"/%", "/%4", "/%zz", "/a%2"}) EXPECT_EQ(DecodePath(bad), std::nullopt);
  const auto query = DecodeQuery("watch&labelSelector=a%3Db+c&x=1&x=2&&=v");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->find("watch")->second, "");
  EXPECT_EQ(query->find("labelSelector")->second, "a=b c");
  EXPECT_EQ(query->count("x"), 2U);
  EXPECT_EQ(DecodeQuery("a=%"), std::nullopt);
}

TEST(HttpTest, FailureStatusEscapesItsMessage) {
  EXPECT_EQ(FailureStatusJson(400, "BadRequest", "a \"b\"\n\\"),
            R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
            R"("message":"a \"b\"\u000a\\","reason":"BadRequest","code":400})"
            "\n");
  EXPECT_EQ(FailureStatusJson(431, "", "m").find("reason"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::apiserver
