// Goal: an operator who reads a reason in a status or an Event finds it in docs/conditions.md, and
// nothing stands there that no loop says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

#include "tests/tidy/rules/tree.h"

namespace forkplane::tidy {
namespace {

bool IsWord(const std::string& text) {
  const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
  return text.size() > 2 && std::isupper(static_cast<unsigned char>(text[0])) != 0 &&
         std::islower(static_cast<unsigned char>(text[1])) != 0 &&
         std::all_of(text.begin(), text.end(), is_letter);
}

// The words that stand alone between two `mark`s.
std::set<std::string> WordsBetween(char mark, const std::string& text) {
  std::set<std::string> words;
  for (auto open = text.find(mark); open != std::string::npos;) {
    const auto close = text.find(mark, open + 1);
    if (close == std::string::npos) break;
    const std::string word = text.substr(open + 1, close - open - 1);
    if (IsWord(word)) words.insert(word);
    open = text.find(mark, close + 1);
  }
  return words;
}

// Names of actions are literals too, in their kName or Text(); explain.cc is for people who debug.
bool PrintsActions(const File& file, const std::string& line) {
  return file.path.ends_with("/explain.cc") || line.find(" kName = ") != std::string::npos ||
         line.find("::Text() const {") != std::string::npos;
}

std::set<std::string> ReasonsOfTheCode() {
  // Of an action, kinds, a phase of a Snapshot's host, and an answer of the store.
  const std::set<std::string> others = {"AttachEgress", "AttachIngress", "VirtualMachine",
                                        "Host",         "Present",       "Forbidden"};
  std::set<std::string> reasons;
  for (const File& file : Sources()) {
    const bool tells = file.path.starts_with("reconcilers/") ||
                       file.path == "controller/manifests/notice.h" ||
                       file.path == "controller/apiserver/loops/gc.cc";
    if (!tells) continue;
    for (const std::string& line : file.lines) {
      if (PrintsActions(file, line)) continue;
      for (const std::string& word : WordsBetween('"', line)) {
        if (!others.contains(word)) reasons.insert(word);
      }
    }
  }
  return reasons;
}

// Words in backquotes in the first cell of a table row: a reason, or a condition's type.
std::set<std::string> ExplainedWords(const std::string& text) {
  std::set<std::string> words;
  for (auto at = text.find("\n| `"); at != std::string::npos; at = text.find("\n| `", at + 1)) {
    const auto cell_end = text.find(" | ", at + 2);
    words.merge(WordsBetween('`', text.substr(at, cell_end - at)));
  }
  return words;
}

std::string TextOfTheConditions() {
  std::string text;
  for (const File& file : Sources()) {
    if (file.path != "crd/condition.h") continue;
    for (const std::string& line : file.lines) text += line + '\n';
  }
  return text;
}

TEST(ConditionsTest, EveryReasonIsExplained) {
  const std::set<std::string> known = WordsBetween('`', ReadText("docs/conditions.md"));
  const std::set<std::string> reasons = ReasonsOfTheCode();
  EXPECT_GT(reasons.size(), 60U) << "the rule does not find the reasons any more";
  for (const std::string& reason : reasons) {
    EXPECT_TRUE(known.contains(reason)) << reason << " is not in docs/conditions.md";
  }
}

TEST(ConditionsTest, EveryExplanationHasItsReason) {
  std::set<std::string> said = ReasonsOfTheCode();
  said.merge(WordsBetween('"', TextOfTheConditions()));
  const std::set<std::string> explained = ExplainedWords(ReadText("docs/conditions.md"));
  EXPECT_GT(explained.size(), 60U) << "the rule does not find the explanations any more";
  for (const std::string& word : explained) {
    EXPECT_TRUE(said.contains(word)) << word << " is in docs/conditions.md, but no loop says it";
  }
}

}  // namespace
}  // namespace forkplane::tidy
