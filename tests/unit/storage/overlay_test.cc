// Goal: an overlay appears in a guest image as it is in its directory, and only what an initramfs
// can hold. Method: small directories, and the archive's text looked through.
#include "drivers/guest/overlay.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/tempdir.h"

namespace forkplane::guest {
namespace {

namespace fs = std::filesystem;

std::string Archive(const testing::TempDir& directory) {
  CpioWriter archive;
  const Status added = AddOverlay(directory.path().string(), archive);
  EXPECT_TRUE(added.ok()) << added.error().message;
  return archive.Finish();
}

TEST(OverlayTest, DirectoriesFilesAndSymlinksKeepNamesContentAndPermissions) {
  const testing::TempDir directory;
  fs::create_directories(directory.path() / "www" / "cgi-bin");
  std::ofstream(directory.File("www/cgi-bin/ask")) << "#!/bin/sh";
  fs::permissions(directory.File("www/cgi-bin/ask"), fs::perms{0750});
  fs::create_symlink("ask", directory.path() / "www" / "cgi-bin" / "link");

  CpioWriter expected;
  const auto mode = [&](const char* name) {
    struct stat info {};
    EXPECT_EQ(::lstat(directory.File(name).c_str(), &info), 0);
    return static_cast<std::uint32_t>(info.st_mode & 07777U);
  };
  expected.AddDirectory("www", mode("www"));
  expected.AddDirectory("www/cgi-bin", mode("www/cgi-bin"));
  expected.AddFile("www/cgi-bin/ask", "#!/bin/sh", 0750);
  expected.AddSymlink("www/cgi-bin/link", "ask");
  EXPECT_EQ(Archive(directory), expected.Finish());
}

TEST(OverlayTest, WhatIsNoFileIsRefusedByName) {
  const testing::TempDir directory;
  ASSERT_EQ(::mkfifo(directory.File("pipe").c_str(), 0600), 0);
  CpioWriter archive;
  const Status added = AddOverlay(directory.path().string(), archive);
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, Code::kInvalid);
  EXPECT_NE(added.error().message.find("/pipe"), std::string::npos) << added.error().message;
}

TEST(OverlayTest, MoreThanAnInitramfsShouldHoldIsRefusedUnread) {
  const testing::TempDir directory;
  std::ofstream(directory.File("hole")).put('x');
  fs::resize_file(directory.File("hole"), kOverlayBytesMax + 1);
  CpioWriter archive;
  const Status added = AddOverlay(directory.path().string(), archive);
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, Code::kInvalid);
}

TEST(OverlayTest, NoDirectoryIsNotFound) {
  const testing::TempDir directory;
  CpioWriter archive;
  const Status added = AddOverlay(directory.File("absent"), archive);
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, Code::kNotFound);
}

}  // namespace
}  // namespace forkplane::guest
