// Goal: each of the 22 findings about networks in the system we start from stands behind the test
// that shows that it cannot happen here: "// W7" at the end of its first line.
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

#include "tests/tidy/rules/tree.h"

namespace forkplane::tidy {
namespace {

constexpr int kFindings = 22;

std::set<std::string> Named() {
  std::set<std::string> named;
  for (const File& file : Sources()) {
    if (!file.path.ends_with("_test.cc")) continue;
    for (const std::string& line : file.lines) {
      const std::size_t comment = line.find("{  // ");
      if (comment == std::string::npos) continue;
      std::istringstream words(line.substr(comment + 6));
      for (std::string word; words >> word;) named.insert(word);
    }
  }
  return named;
}

TEST(WeaknessesTest, EachIsNamedByATest) {
  const std::set<std::string> named = Named();
  for (int i = 1; i <= kFindings; ++i) EXPECT_TRUE(named.contains("W" + std::to_string(i))) << i;
}

}  // namespace
}  // namespace forkplane::tidy
