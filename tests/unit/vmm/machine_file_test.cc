// Goal: what a guest prints reaches errors and Events in lines that are few, short and printable.
#include "drivers/vmm/machine_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/tempdir.h"

namespace forkplane::vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TailLinesTest : public ::testing::Test {
 protected:
  std::vector<std::string> Tail(const std::string& content, std::size_t lines_max) {
    std::ofstream(dir_.File("console"), std::ios::binary) << content;
    return TailLines(dir_.path().string(), "console", lines_max);
  }
  testing::TempDir dir_;
};

TEST_F(TailLinesTest, TheLastLinesComeOldestFirst) {
  EXPECT_THAT(Tail("one\ntwo\n\nthree", 2), ElementsAre("two", "three"));
  EXPECT_THAT(Tail("\n\n", 2), IsEmpty());
  EXPECT_THAT(TailLines(dir_.path().string(), "absent", 2), IsEmpty());
}

TEST_F(TailLinesTest, OnlyPrintableAsciiIsKept) {
  EXPECT_THAT(Tail("\x1b[31mred\x1b[0m\tb\xff\xc3\xa9\r\n", 5), ElementsAre("[31mred[0m b"));
}

TEST_F(TailLinesTest, ALineWithoutEndIsCut) {
  std::string content(1U << 20U, 'x');
  content += "\nlast\n";
  std::string cut(253, 'x');
  cut += "...";
  EXPECT_THAT(Tail(content, 5), ElementsAre(cut, "last"));
}

}  // namespace
}  // namespace forkplane::vmm
