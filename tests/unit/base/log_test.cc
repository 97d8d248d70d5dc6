#include "controller/base/log.h"

#include <gtest/gtest.h>

namespace forkplane::log {
namespace {

constexpr std::string_view kTime = "2026-01-02T03:04:05.000000Z";

std::string Json(std::string_view message, Fields fields = {}) {
  return Render(Format::kJson, Level::kInfo, kTime, message, fields);
}

TEST(LogTest, AJsonLineIsOneObject) {
  EXPECT_EQ(
      Json("tap created", {{"vm", "default/a"}, {"index", 7}}),
      R"({"ts":"2026-01-02T03:04:05.000000Z","level":"info","msg":"tap created","vm":"default/a","index":"7"})");
}

// Guest output and file names reach the log: none of it may start a second line or end the string.
TEST(LogTest, QuotesNewlinesAndControlCharactersAreEscaped) {
  EXPECT_NE(Json("a\"b\\c\nd\x01").find(R"("msg":"a\"b\\c\nd\u0001")"), std::string::npos);
}

TEST(LogTest, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_NE(Json("a\xff\xc0\xaf\xed\xa0\x80z").find("\"a\xef\xbf\xbd"), std::string::npos);
  EXPECT_NE(Json("gr\xc3\xbc\xc3\x9f").find("gr\xc3\xbc\xc3\x9f"), std::string::npos);
  EXPECT_EQ(Json("cut \xe2\x82").find('\xe2'), std::string::npos);
}

TEST(LogTest, TextQuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(Render(Format::kText, Level::kWarn, kTime, "lease kept",
                   {{"ip", "10.0.0.2"}, {"why", "a b"}}),
            R"(2026-01-02T03:04:05.000000Z warn  "lease kept" ip=10.0.0.2 why="a b")");
  EXPECT_EQ(Render(Format::kText, Level::kWarn, kTime, "x\ny", {{"v", "a\nb"}}).find('\n'),
            std::string::npos);
}

TEST(LogTest, AnErrorShowsItsCode) {
  EXPECT_NE(Json("m", {{"error", Exists("add tap: taken")}}).find("Exists: add tap: taken"),
            std::string::npos);
}

TEST(LogTest, LevelsAndFormatsParse) {
  EXPECT_EQ(*ParseLevel("warn"), Level::kWarn);
  EXPECT_EQ(*ParseFormat("json"), Format::kJson);
  EXPECT_EQ(ParseLevel("loud").error().code, Code::kInvalid);
  EXPECT_EQ(ParseFormat("xml").error().code, Code::kInvalid);
}

}  // namespace
}  // namespace forkplane::log
