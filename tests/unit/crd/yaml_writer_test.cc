// Goal: what is written as YAML is read back as the same value, by us as by kubectl, whatever is in
// it. Method: a table of how things look, and words that YAML takes for something else, each as a
// key, as a value and in a list, read again.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crd/yaml.h"

namespace forkplane::crd {
namespace {

TEST(YamlWriterTest, LooksAsKubectlPrintsIt) {
  const Json value = Json::parse(R"({
    "apiVersion":"v1","empty":{},"none":[],"n":null,"t":true,"i":-3,"f":0.5,
    "list":["a",["b","c"],{"x":1,"y":{"z":[1]}},{}],
    "map":{"k":{"l":"m"}},"text":"two\nlines"})");
  EXPECT_EQ(DumpYaml(value),
            "apiVersion: v1\n"
            "empty: {}\n"
            "f: 0.5\n"
            "i: -3\n"
            "list:\n"
            "- a\n"
            "- - b\n"
            "  - c\n"
            "- x: 1\n"
            "  \"y\":\n"
            "    z:\n"
            "    - 1\n"
            "- {}\n"
            "map:\n"
            "  k:\n"
            "    l: m\n"
            "\"n\": null\n"
            "none: []\n"
            "t: true\n"
            "text: \"two\\nlines\"\n");
  EXPECT_EQ(DumpYaml("x"), "x\n");
  EXPECT_EQ(DumpYaml(Json::array({1})), "- 1\n");
}

TEST(YamlWriterTest, NoWordChangesItsMeaning) {
  const char* const words[] = {"",
                               " ",
                               "~",
                               "null",
                               "Null",
                               "true",
                               "yes",
                               "No",
                               "on",
                               "off",
                               "y",
                               "N",
                               "1",
                               "-1",
                               "0x1f",
                               "1e3",
                               "1_000",
                               ".5",
                               ".inf",
                               ".NaN",
                               "-.inf",
                               "0o7",
                               "012",
                               "1:30",
                               "2026-01-01",
                               "2026-01-01T00:00:00Z",
                               "-",
                               "- a",
                               "a - b",
                               ":",
                               "a:",
                               "a: b",
                               "a:b",
                               "http://x/y",
                               "#",
                               "a #b",
                               "a#b",
                               "&a",
                               "*a",
                               "!a",
                               "|",
                               ">",
                               "%a",
                               "@a",
                               "`a",
                               "{",
                               "[a]",
                               "a,b",
                               "?",
                               "? a",
                               "<<",
                               "=",
                               "'",
                               "\"",
                               "a\"b\\c",
                               "a'b",
                               " lead",
                               "trail ",
                               "tab\tin",
                               "line\n",
                               "\nline",
                               "a\r\nb",
                               "bell\x07",
                               "\x7f",
                               "\xc2\x85",
                               "\xc2\x9f",
                               "x\xe2\x80\xa8y",
                               "\xe2\x80\xa9",
                               "\xef\xbb\xbf",
                               "gr\xc3\xb6\xc3\x9f",
                               "\xf0\x9f\x98\x80",
                               "---",
                               "--- a",
                               "...",
                               "a/b_c.d-e",
                               "k8s.io/x"};
  for (const std::string word : words) {
    const Json value = {{"v", word},
                        {"l", {word, {{word, word}}, Json::array({word})}},
                        {"m", {{word, Json::object()}}}};
    const std::string text = DumpYaml(value);
    const Result<Json> read = ParseOneYaml(text);
    ASSERT_TRUE(read.ok()) << text << read.error().message;
    EXPECT_EQ(*read, value) << text;
  }
}

TEST(YamlWriterTest, NumbersStayWhatTheyAre) {
  for (const char* text : {"0", "-9223372036854775808", "18446744073709551615", "1e+300", "0.1",
                           "123456789.25", "-1.5e-07"}) {
    const Json value = {{"v", Json::parse(text)}};
    EXPECT_EQ(ParseOneYaml(DumpYaml(value)).value(), value) << text;
  }
}

}  // namespace
}  // namespace forkplane::crd
