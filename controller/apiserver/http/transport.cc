#include "controller/apiserver/http/transport.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <span>

#include "controller/apiserver/http/thread_group.h"

namespace forkplane::apiserver {
namespace {

// poll(2) until something is ready or the deadline is over; 0 then. Rounded up, so that a deadline
// in 0.3 ms does not spin.
int PollUntil(std::span<pollfd> fds, MonotonicTime deadline) {
  for (;;) {
    int wait_ms = -1;
    if (deadline != MonotonicTime::max()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - RealClock().Now());
      wait_ms =
          static_cast<int>(std::clamp<long long>(left.count(), 0, std::numeric_limits<int>::max()));
    }
    const int ready = ::poll(fds.data(), fds.size(), wait_ms);
    if (ready >= 0 || errno != EINTR) return ready;
  }
}

// As PollUntil, for a wait that may last: after a second of it, what this thread does not need
// meanwhile is given back. Not at once, or every request of a busy client would pay for it.
int PollIdle(std::span<pollfd> fds, MonotonicTime deadline) {
  const MonotonicTime soon = RealClock().Now() + std::chrono::seconds(1);
  const int ready = PollUntil(fds, std::min(soon, deadline));
  if (ready != 0 || deadline <= soon) return ready;
  ReleaseIdleStack();
  return PollUntil(fds, deadline);
}

class PlainTransport final : public Transport {
 public:
  using Transport::Transport;

  Io Handshake(MonotonicTime) override { return Io::kOk; }
  std::optional<TlsPeer> Peer() const override { return std::nullopt; }

 protected:
  Try TryRead(char* buffer, std::size_t size, std::size_t& count) override {
    const ssize_t n = ::recv(fd(), buffer, size, 0);
    if (n > 0) {
      count = static_cast<std::size_t>(n);
      return Try::kDone;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? Try::kWantRead : Try::kClosed;
  }
  Try TryWrite(const char* bytes, std::size_t size, std::size_t& count) override {
    const ssize_t n = ::send(fd(), bytes, size, MSG_NOSIGNAL);
    if (n > 0) {
      count = static_cast<std::size_t>(n);
      return Try::kDone;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? Try::kWantWrite : Try::kClosed;
  }
  bool HasBuffered() const override { return false; }
  void SendGoodbye() override {}
};

}  // namespace

std::unique_ptr<Transport> MakePlainTransport(UniqueFd socket, int stop_fd) {
  return std::make_unique<PlainTransport>(std::move(socket), stop_fd);
}

Transport::Io Transport::WaitSocket(Try wanted, MonotonicTime deadline, OnStop on_stop) {
  const short events = wanted == Try::kWantRead ? POLLIN : POLLOUT;
  const int stop_fd = on_stop == OnStop::kGiveUp ? stop_fd_ : -1;  // poll skips -1
  std::array<pollfd, 2> fds{pollfd{fd(), events, 0}, pollfd{stop_fd, POLLIN, 0}};
  const int ready = PollIdle(fds, deadline);
  if (ready < 0) return Io::kClosed;
  if (ready == 0) return Io::kTimeout;
  return fds[0].revents != 0 ? Io::kOk : Io::kStopped;
}

Transport::Io Transport::Read(char* buffer, std::size_t size, std::size_t& count,
                              MonotonicTime deadline) {
  for (;;) {
    const Try result = TryRead(buffer, size, count);
    if (result == Try::kDone) return Io::kOk;
    if (result == Try::kClosed) return Io::kClosed;
    const Io io = WaitSocket(result, deadline, OnStop::kGiveUp);
    if (io != Io::kOk) return io;
  }
}

Transport::Io Transport::Write(std::string_view bytes, MonotonicTime deadline) {
  while (!bytes.empty()) {
    std::size_t count = 0;
    const Try result = TryWrite(bytes.data(), bytes.size(), count);
    if (result == Try::kClosed) return Io::kClosed;
    if (result == Try::kDone) {
      bytes.remove_prefix(count);
      continue;
    }
    const Io io = WaitSocket(result, deadline, OnStop::kGoOn);
    if (io != Io::kOk) return io;
  }
  return Io::kOk;
}

// A request that arrived before the stop is still answered.
Transport::Io Transport::WaitReadable(MonotonicTime deadline) {
  if (HasBuffered()) return Io::kOk;
  return WaitSocket(Try::kWantRead, deadline, OnStop::kGiveUp);
}

// POLLRDHUP and not POLLIN: TLS records that carry no data (a session ticket's acknowledgement, a
// close_notify) make the socket readable, and a client may legally send its next request early.
Transport::Io Transport::WaitEvent(int eventfd, MonotonicTime deadline) {
  std::array<pollfd, 3> fds{pollfd{fd(), POLLRDHUP, 0}, pollfd{stop_fd_, POLLIN, 0},
                            pollfd{eventfd, POLLIN, 0}};
  const int ready = PollIdle(fds, deadline);
  if (ready < 0 || fds[0].revents != 0) return Io::kClosed;
  if (fds[1].revents != 0) return Io::kStopped;
  return ready == 0 ? Io::kTimeout : Io::kOk;
}

// Both directions: a client that does not read holds its thread in a write.
void Transport::Abort() { ::shutdown(fd(), SHUT_RDWR); }

void Transport::CloseGently(MonotonicTime deadline) {
  SendGoodbye();
  ::shutdown(fd(), SHUT_WR);
  std::array<char, std::size_t{16} * 1024> dropped;
  for (;;) {
    const ssize_t n = ::recv(fd(), dropped.data(), dropped.size(), 0);
    if (n > 0) {
      if (RealClock().Now() >= deadline) return;
      continue;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) return;
    std::array<pollfd, 2> fds{pollfd{fd(), POLLIN, 0}, pollfd{stop_fd_, POLLIN, 0}};
    if (PollUntil(fds, deadline) <= 0 || fds[0].revents == 0) return;
  }
}

}  // namespace forkplane::apiserver
