// Goal: all loops use the same words for the same things (Desired, Observed, Context, WriteStatus,
// RecordEvent), and what the runtime has for all of them none writes again. Method: every word of
// the code below reconcilers/ and its tests, and every function defined there or in the app.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/rules/tree.h"

namespace forkplane::tidy {
namespace {

bool IsWordPart(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::vector<std::string> WordsOf(const std::string& code) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < code.size();) {
    if (!IsWordPart(code[i])) {
      ++i;
      continue;
    }
    const auto end =
        std::find_if_not(code.begin() + static_cast<std::ptrdiff_t>(i), code.end(), IsWordPart);
    words.emplace_back(code.begin() + static_cast<std::ptrdiff_t>(i), end);
    i += words.back().size();
  }
  return words;
}

bool IsBelow(const File& file, std::initializer_list<const char*> folders) {
  return std::any_of(folders.begin(), folders.end(),
                     [&file](const char* folder) { return file.path.starts_with(folder); });
}

TEST(WordsTest, LoopsNameThingsAsTheOthersDo) {
  struct Word {
    std::string_view other;
    std::string_view instead;
  };
  static constexpr std::array kWords = {Word{"Goal", "Desired"},
                                        Word{"Sight", "Observed"},
                                        Word{"Scene", "Context"},
                                        Word{"Trouble", "Obstacle"},
                                        Word{"Wish", "a Desired thing's name"},
                                        Word{"Say", "WriteStatus"},
                                        Word{"Tell", "RecordEvent"},
                                        Word{"goal", "desired"},
                                        Word{"sight", "observed"},
                                        Word{"scene", "context"},
                                        Word{"goal_", "desired_"},
                                        Word{"sight_", "observed_"},
                                        Word{"scene_", "context_"},
                                        Word{"trouble", "an error's name"},
                                        Word{"told_", "last_reported_"}};
  std::size_t words = 0;
  for (const File& file : Sources()) {
    if (!IsBelow(file, {"reconcilers/", "tests/plan/", "tests/convergence/"})) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      for (const std::string& word : WordsOf(CodeOf(file.lines[i]))) {
        ++words;
        for (const Word& one : kWords) {
          EXPECT_NE(word, one.other) << At(file, i) << ": the other loops say " << one.instead;
        }
      }
    }
  }
  EXPECT_GT(words, 10'000U) << "the loops were not found";
}

TEST(WordsTest, HelpersOfAllLoopsAreWrittenOnce) {
  struct Helper {
    std::string name;
    std::string home;
  };
  const std::vector<Helper> helpers = {{"KeyOf", "controller/runtime/typed_object.h"},
                                       {"ReferenceTo", "controller/runtime/typed_object.h"},
                                       {"ResourceOf", "controller/runtime/typed_object.h"},
                                       {"StatusText", "controller/runtime/typed_object.h"},
                                       {"ActionTexts", "controller/runtime/plan_text.h"},
                                       {"IsStale", "controller/runtime/converge.h"},
                                       {"FindDriver", "drivers/vmm/hypervisor.h"},
                                       {"FindHypervisor", "drivers/vmm/hypervisor.h"}};
  for (const Helper& helper : helpers) {
    for (const File& file : Sources()) {
      if (!IsBelow(file, {"reconcilers/", "controller/app/"})) continue;
      for (std::size_t i = 0; i < file.lines.size(); ++i) {
        // Only what is declared or defined in a namespace begins in the first column.
        const std::string code = CodeOf(file.lines[i]);
        const bool declares = !code.empty() &&
                              std::isalpha(static_cast<unsigned char>(code[0])) != 0 &&
                              code.find(" " + helper.name + "(") != std::string::npos;
        EXPECT_FALSE(declares) << At(file, i) << ": " << helper.name << " is in " << helper.home;
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::tidy
