#include "controller/app/signals.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>

#include "controller/base/log.h"
#include "controller/base/unique_fd.h"

namespace forkplane::app {
namespace {

sigset_t Ours() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Status BlockSignals() {
  const sigset_t set = Ours();
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return FromErrno(error, "block signals");
  }
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return FromErrno(errno, "ignore SIGPIPE");
  return OkStatus();
}

Result<int> AwaitTermination(const std::function<void()>& reload) {
  const sigset_t set = Ours();
  for (;;) {
    int signal = 0;
    if (const int error = sigwait(&set, &signal); error != 0) {
      return FromErrno(error, "wait for signals");
    }
    if (signal != SIGHUP) return signal;
    reload();
  }
}

void NotifySystemd(const char* state) {
  const char* path = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): set before us
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  if (::sendto(socket.get(), state, std::strlen(state), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    log::Warn("systemd could not be told", {{"state", state}, {"error", FromErrno(errno, path)}});
  }
}

}  // namespace forkplane::app
