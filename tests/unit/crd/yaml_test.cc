// Goal: YAML means here what it means to kubectl, and cannot be used as a bomb. The table of
// scalars was printed by `kubectl annotate --local -o json` (1.32).
#include "crd/yaml.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace forkplane::crd {
namespace {

Json Scalar(const std::string& text) {
  const auto json = ParseOneYaml("v: " + text + "\n");
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? (*json)["v"] : Json("refused");
}

TEST(YamlTest, PlainScalarsAreTypedAsKubectlTypesThem) {
  const std::vector<std::pair<std::string, Json>> table = {
      {"yes", true},
      {"y", true},
      {"on", true},
      {"Off", false},
      {"n", false},
      {"true", true},
      {"0644", 420},
      {"0o14", 12},
      {"1_000", 1000},
      {"0x1F", 31},
      {"-0b11", -3},
      {"08", 8},
      {"12e03", 12000},
      {"1e3", 1000},
      {".5", 0.5},
      {"1.", 1},
      {"+1", 1},
      {"~", nullptr},
      {"null", nullptr},
      {"", nullptr},
      {"190:20:30", "190:20:30"},
      {"2001-12-14", "2001-12-14"},
      {"-", "-"},
      {"1.2.3", "1.2.3"},
      {"100M", "100M"},
      {"10.0.0.1", "10.0.0.1"},
      {"9223372036854775807", 9223372036854775807},
  };
  for (const auto& [text, value] : table) {
    if (text == "-") continue;  // a block list when it follows a key
    EXPECT_EQ(Scalar(text), value) << text;
  }
}

TEST(YamlTest, QuotedScalarsStayStrings) {
  EXPECT_EQ(Scalar("'1'"), "1");
  EXPECT_EQ(Scalar("\"yes\""), "yes");
  EXPECT_EQ(Scalar("''"), "");
  EXPECT_EQ(Scalar("'~'"), "~");
  EXPECT_EQ(Scalar("!!str 5"), "5");
}

TEST(YamlTest, KeysBecomeStrings) {
  EXPECT_EQ(*ParseOneYaml("yes: 1\n5: five\n"), (Json{{"true", 1}, {"5", "five"}}));
}

TEST(YamlTest, DuplicateKeysAreReported) {
  const auto documents = ParseYaml("spec:\n  a: 1\n  b: 2\n  a: 3\n");
  ASSERT_TRUE(documents.ok());
  EXPECT_EQ((*documents)[0].duplicates, std::vector<std::string>{"spec.a"});
  EXPECT_EQ((*(*documents)[0].value)["spec"]["a"], 3);
}

TEST(YamlTest, MergeKeysAreResolvedAndDoNotOverride) {
  EXPECT_EQ(*ParseOneYaml("base: &b {x: 1, z: 2}\nv:\n  <<: *b\n  z: 3\n"),
            (Json{{"base", {{"x", 1}, {"z", 2}}}, {"v", {{"x", 1}, {"z", 3}}}}));
}

TEST(YamlTest, ManyDocumentsWithTheirLinesAndWithoutTheEmptyOnes) {
  const auto documents = ParseYaml("# nothing\n---\na: 1\n---\n# only a comment\n---\nb: 2\n");
  ASSERT_TRUE(documents.ok());
  ASSERT_EQ(documents->size(), 2U);
  EXPECT_EQ((*documents)[0].line, 3);
  EXPECT_EQ((*documents)[1].line, 7);
  EXPECT_EQ(*(*documents)[1].value, (Json{{"b", 2}}));
}

TEST(YamlTest, AnAliasBombIsRefused) {
  std::string text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'j'; ++c) {
    const char before = static_cast<char>(c - 1);
    text +=
        fmt::format("{0}: &{0} [*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1}]\n", c, before);
  }
  const auto bomb = ParseYaml(text);
  ASSERT_FALSE(bomb.ok());
  EXPECT_NE(bomb.error().message.find("after aliases are expanded"), std::string::npos);
}

TEST(YamlTest, DeepNestingIsRefusedNotFatal) {
  for (const std::size_t depth : {150U, 5000U}) {
    EXPECT_FALSE(ParseYaml(std::string(depth, '[') + std::string(depth, ']')).ok());
  }
}

TEST(YamlTest, ErrorsSayTheLine) {
  const auto bad = ParseYaml("a: 1\nb: [1, 2\nc: 3\n");
  ASSERT_FALSE(bad.ok());
  EXPECT_TRUE(bad.error().message.starts_with("line ")) << bad.error().message;
  EXPECT_EQ(ParseYaml("a: 1\nb: .inf\n").error().message,
            "line 2: .inf has no JSON form: quote it if text is meant");
  EXPECT_FALSE(ParseYaml("a: \xff\n").ok());
  EXPECT_FALSE(ParseYaml("a: !custom 1\n").ok());
}

}  // namespace
}  // namespace forkplane::crd
