// Goal: the limits a machine can check (file and line length, banned words) hold in every source
// file.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/tidy/rules/tree.h"

namespace forkplane::tidy {
namespace {

constexpr std::size_t kFileLinesMax = 500;
constexpr std::size_t kTestFileLinesMax = 800;
constexpr std::size_t kLineMax = 100;

std::size_t Columns(const std::string& line) {
  std::size_t columns = 0;
  for (const char c : line) columns += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1U : 0U;
  return columns;
}

TEST(LimitsTest, FilesFitAHead) {
  for (const File& file : Sources()) {
    const std::size_t most = file.path.starts_with("tests/") ? kTestFileLinesMax : kFileLinesMax;
    EXPECT_LE(file.lines.size(), most) << file.path;
  }
}

// Comments and raw text may run to 120; code is held to 100 by clang-format.
TEST(LimitsTest, LinesFitAScreen) {
  for (const File& file : Sources()) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      EXPECT_LE(Columns(CodeOf(file.lines[i])), kLineMax) << At(file, i);
    }
  }
}

struct Ban {
  std::string word;
  std::string instead;
  std::vector<std::string> allowed;  // path prefixes
};

const std::vector<Ban>& Bans() {
  static const std::vector<Ban> bans = {
      {"sleep_for", "wait on a CondVar or a descriptor", {"tests/"}},
      {"sleep_until", "wait on a CondVar or a descriptor", {"tests/"}},
      {"usleep(", "wait on a CondVar or a descriptor", {"tests/"}},
      {".detach()", "join it", {}},
      {"system(", "no shells", {}},
      {"popen(", "no shells", {}},
      {"using namespace", "name what is used", {}},
      {"std::mutex", "controller/base/mutex.h", {"controller/base/mutex.h"}},
      {"std::regex", "RE2: libstdc++'s recursion overflows the stack", {}},
      {"catch (...)",
       "catch what is thrown",
       {"controller/apiserver/http/", "controller/runtime/"}},
  };
  return bans;
}

TEST(LimitsTest, BannedWordsAreAbsent) {
  for (const File& file : Sources()) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string code = CodeOf(file.lines[i]);
      for (const Ban& ban : Bans()) {
        if (code.find(ban.word) == std::string::npos) continue;
        bool allowed = false;
        for (const std::string& prefix : ban.allowed) allowed |= file.path.starts_with(prefix);
        EXPECT_TRUE(allowed) << At(file, i) << ": " << ban.word << ": " << ban.instead;
      }
    }
  }
}

TEST(LimitsTest, NoUnfinishedMarks) {
  for (const File& file : Sources()) {
    if (file.path.starts_with("tests/tidy/")) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      for (const char* mark : {"TODO", "FIXME", "XXX:", "DISABLED_"}) {
        EXPECT_EQ(file.lines[i].find(mark), std::string::npos) << At(file, i) << ": " << mark;
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::tidy
