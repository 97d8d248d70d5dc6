// Goal: the archive is what the kernel's newc reader expects, byte for byte.
#include "drivers/guest/cpio.h"

#include <gtest/gtest.h>

namespace forkplane::guest {
namespace {

TEST(CpioTest, HeadersNamesAndContentAreAlignedAndComplete) {
  CpioWriter writer;
  writer.AddFile("a", "xyz", 0644);
  const std::string archive = writer.Finish();
  EXPECT_EQ(archive.substr(0, 110),
            "070701"
            "00000001"
            "000081a4"
            "00000000"
            "00000000"
            "00000001"
            "00000000"
            "00000003"
            "00000000"
            "00000000"
            "00000000"
            "00000000"
            "00000002"
            "00000000");
  EXPECT_EQ(archive.substr(110, 2), std::string("a\0", 2));
  EXPECT_EQ(archive.substr(112, 4), std::string("xyz\0", 4));
  EXPECT_EQ(archive.substr(116, 6), "070701");
  EXPECT_EQ(archive.substr(116 + 110, 10), "TRAILER!!!");
  EXPECT_EQ(archive.size() % 4, 0U);
}

TEST(CpioTest, EqualInputGivesEqualBytes) {
  const auto make = [] {
    CpioWriter writer;
    writer.AddDirectory("dev");
    writer.AddCharDevice("dev/console", 5, 1);
    writer.AddSymlink("sh", "busybox");
    return writer.Finish();
  };
  EXPECT_EQ(make(), make());
}

}  // namespace
}  // namespace forkplane::guest
