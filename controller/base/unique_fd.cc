#include "controller/base/unique_fd.h"

#include <unistd.h>

#include <cerrno>

namespace forkplane {

void UniqueFd::Reset(int fd) {
  if (fd_ >= 0) {
    const int saved = errno;
    // Linux frees the number even when close reports EINTR, so there is nothing to retry.
    ::close(fd_);
    errno = saved;
  }
  fd_ = fd;
}

}  // namespace forkplane
