// Goal: the documents that must be true at every commit are: each metric of the code is explained
// in docs/metrics.md and each metric explained exists, the walkthrough walks through files that are
// there, and the CHANGELOG keeps its form.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "tests/tidy/rules/tree.h"

namespace forkplane::tidy {
namespace {

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// Names in double quotes that follow a call that registers a metric: the name may stand on the next
// line.
std::set<std::string> MetricsOfTheCode() {
  std::set<std::string> names;
  for (const File& file : Sources()) {
    if (file.path.starts_with("tests/")) continue;
    std::string text;
    for (const std::string& line : file.lines) text += line + '\n';
    for (const char* call : {"AddCounter(", "AddGauge(", "AddHistogram("}) {
      for (auto at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
        const auto open = text.find_first_not_of(" \n", at + std::string(call).size());
        if (open == std::string::npos || text[open] != '"') continue;
        const auto close = text.find('"', open + 1);
        names.insert(text.substr(open + 1, close - open - 1));
      }
    }
  }
  return names;
}

// docs/metrics.md names a metric in backquotes at the start of a table row.
std::set<std::string> MetricsOfTheDocument() {
  std::set<std::string> names;
  const std::string text = ReadText("docs/metrics.md");
  for (auto at = text.find("\n| `"); at != std::string::npos; at = text.find("\n| `", at + 1)) {
    std::string name;
    for (auto i = at + 4; i < text.size() && IsNameCharacter(text[i]); ++i) name += text[i];
    names.insert(name);
  }
  return names;
}

TEST(DocumentsTest, EveryMetricIsExplainedAndEveryExplanationHasItsMetric) {
  EXPECT_EQ(MetricsOfTheCode(), MetricsOfTheDocument());
}

bool IsThere(const std::string& name) {
  return std::any_of(Sources().begin(), Sources().end(), [&name](const File& file) {
    return file.path == name || file.path.ends_with("/" + name);
  });
}

TEST(DocumentsTest, TheWalkthroughNamesFilesThatExist) {
  const std::string text = ReadText("docs/walkthrough.md");
  int files = 0;
  for (auto open = text.find('`'); open != std::string::npos;) {
    const auto close = text.find('`', open + 1);
    ASSERT_NE(close, std::string::npos);
    const std::string name = text.substr(open + 1, close - open - 1);
    if (name.ends_with(".cc") || name.ends_with(".h")) {
      ++files;
      EXPECT_TRUE(IsThere(name)) << name;
    }
    open = text.find('`', close + 1);
  }
  EXPECT_GT(files, 30) << "the rule does not find the files any more";
}

TEST(DocumentsTest, TheChangelogKeepsItsForm) {
  const std::string text = ReadText("CHANGELOG.md");
  EXPECT_NE(text.find("# Changelog"), std::string::npos);
  EXPECT_NE(text.find("## [Unreleased]"), std::string::npos);
}

TEST(DocumentsTest, TheReadmeNamesTheTwoCommands) {
  const std::string text = ReadText("README.md");
  EXPECT_NE(text.find("./dev demo"), std::string::npos);
  EXPECT_NE(text.find("./dev test"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::tidy
