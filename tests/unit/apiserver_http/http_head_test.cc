// Goal: the head parser takes what RFC 9112 allows and refuses what two parsers could read in two
// ways.
#include "controller/apiserver/http_head.h"

#include <gtest/gtest.h>

#include "controller/apiserver/http.h"

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
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.chunked);
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
}

TEST(HttpHeadTest, EqualContentLengthsAreOne) {
  EXPECT_EQ(
      Parse("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n").content_length,
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
      {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nContent-Length: 3145729\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nContent-Length: 3145728\r\n\r\n", 0},
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
