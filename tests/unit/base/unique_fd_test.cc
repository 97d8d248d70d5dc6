#include "controller/base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace forkplane {
namespace {

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, ClosesOnceAtTheEndOfItsOwner) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  {
    UniqueFd owner(fds[0]);
    const UniqueFd moved = std::move(owner);
    EXPECT_FALSE(
        owner.valid());  // NOLINT(bugprone-use-after-move): what a move leaves is the point
    EXPECT_TRUE(IsOpen(fds[0]));
  }
  EXPECT_FALSE(IsOpen(fds[0]));
  UniqueFd released(fds[1]);
  EXPECT_EQ(released.Release(), fds[1]);
  EXPECT_TRUE(IsOpen(fds[1]));
  released.Reset(fds[1]);
}

}  // namespace
}  // namespace forkplane
