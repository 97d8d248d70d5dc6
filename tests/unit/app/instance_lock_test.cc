#include "controller/app/instance_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/tempdir.h"

namespace forkplane::app {
namespace {

TEST(InstanceLockTest, TheSecondIsRefusedAndToldWhoHoldsIt) {
  const forkplane::testing::TempDir dir;
  const std::string state = dir.File("state");
  {
    const auto first = InstanceLock::Take(state);
    ASSERT_TRUE(first.ok()) << first.error().message;
    const auto second = InstanceLock::Take(state);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Code::kConflict);
    EXPECT_THAT(second.error().message, ::testing::HasSubstr(std::to_string(::getpid())));
  }
  EXPECT_TRUE(InstanceLock::Take(state).ok());
}

TEST(InstanceLockTest, TheStateDirectoryIsOnlyOurs) {
  const forkplane::testing::TempDir dir;
  ASSERT_TRUE(InstanceLock::Take(dir.File("a/b")).ok());
  struct stat info {};
  ASSERT_EQ(::stat(dir.File("a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
}

}  // namespace
}  // namespace forkplane::app
