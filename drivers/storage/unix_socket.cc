#include "drivers/storage/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace forkplane::storage {
namespace {

constexpr int kBacklog = 8;

Result<UniqueFd> OpenFolder(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, "open directory " + directory);
  return fd;
}

Result<sockaddr_un> AddressIn(int directory_fd, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory_fd, name);
  if (path.size() >= sizeof address.sun_path) return Invalid("socket name is too long: " + name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> NewSocket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return FromErrno(errno, "make a socket");
  return fd;
}

// One message of one byte and room for one descriptor.
struct FdMessage {
  char byte = 'f';
  iovec data{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  FdMessage() {
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
};

}  // namespace

Result<UniqueFd> ListenAt(const std::string& directory, const std::string& name) {
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolder(directory));
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressIn(folder.get(), name));
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  if (::unlinkat(folder.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return FromErrno(errno, "remove the old socket " + name);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FromErrno(errno, "bind " + directory + "/" + name);
  }
  // Nobody can connect between bind and chmod: nothing listens yet.
  if (::fchmodat(folder.get(), name.c_str(), 0600, 0) != 0) {
    return FromErrno(errno, "chmod " + directory + "/" + name);
  }
  if (::listen(fd.get(), kBacklog) != 0) return FromErrno(errno, "listen on " + name);
  return fd;
}

Result<UniqueFd> ConnectTo(const std::string& directory, const std::string& name,
                           std::chrono::milliseconds patience) {
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolder(directory));
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressIn(folder.get(), name));
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  // connect(2) waits for room in the listener's backlog as long as a send may wait (unix(7)).
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience);
  const auto rest = std::chrono::duration_cast<std::chrono::microseconds>(patience - seconds);
  const timeval timeout{seconds.count(), rest.count()};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0) {
    return FromErrno(errno, "set the patience of a socket");
  }
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FromErrno(errno, "connect to " + directory + "/" + name);
  }
  return fd;
}

Status SendFd(int socket, int fd, char byte) {
  FdMessage message;
  message.byte = byte;
  cmsghdr* control = CMSG_FIRSTHDR(&message.header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
  ssize_t n = 0;
  do {
    n = ::sendmsg(socket, &message.header, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n != 1) return FromErrno(errno, "send a descriptor");
  return OkStatus();
}

Result<UniqueFd> ReceiveFd(int socket) {
  FdMessage message;
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &message.header, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return FromErrno(errno, "receive a descriptor");
  const cmsghdr* control = CMSG_FIRSTHDR(&message.header);
  if (n == 0 || control == nullptr || control->cmsg_type != SCM_RIGHTS) return UniqueFd();
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
  return UniqueFd(fd);
}

}  // namespace forkplane::storage
