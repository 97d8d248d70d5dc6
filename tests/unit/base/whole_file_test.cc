// Goal: a file is read and written whole or not at all, and never more of it is held than allowed.
#include "controller/base/whole_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "controller/base/unique_fd.h"
#include "tests/support/tempdir.h"

namespace forkplane {
namespace {

TEST(WholeFileTest, WhatIsWrittenIsReadAgainUpToTheBound) {
  const testing::TempDir directory;
  const std::string path = directory.File("f");
  const std::string text(100'000, 'x');
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(WriteAll(fd.get(), text, path).ok());
  EXPECT_EQ(ReadFile(path, text.size()).value(), text);

  const Result<std::string> larger = ReadFile(path, text.size() - 1);
  ASSERT_FALSE(larger.ok());
  EXPECT_EQ(larger.error().message, "read " + path + ": larger than 99999 bytes");
  EXPECT_EQ(ReadFile(directory.File("absent"), 1).error().code, Code::kNotFound);
}

// A pipe takes 64 KiB at most at once, so both sides have to go on where they stopped.
TEST(WholeFileTest, ShortReadsAndWritesAreGoneOnWith) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  const std::string text(1'000'000, 'y');
  std::jthread writer([&] {
    EXPECT_TRUE(WriteAll(in.get(), text, "pipe").ok());
    in = UniqueFd();
  });
  EXPECT_EQ(ReadAll(out.get(), text.size(), "pipe").value(), text);
}

TEST(WholeFileTest, ErrorsNameWhatWasDone) {
  const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(WriteAll(fd.get(), "x", "the record").error().message,
            "write the record: Bad file descriptor");
}

}  // namespace
}  // namespace forkplane
