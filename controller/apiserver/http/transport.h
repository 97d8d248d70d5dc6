// One accepted connection as bytes with deadlines: plain TCP here, TLS in tls.h. The socket is
// non-blocking; every wait is one poll(2) that also ends when the server stops.
//
// NOTE Threading: used by the connection's own thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "controller/apiserver/http/http.h"
#include "controller/base/clock.h"
#include "controller/base/unique_fd.h"

namespace forkplane::apiserver {

class Transport {
 public:
  // kStopped: the server is shutting down. kClosed: end of stream or a broken connection.
  enum class Io { kOk, kTimeout, kClosed, kStopped };

  // `stop_fd` becomes (and stays) readable when the server stops; not owned.
  Transport(UniqueFd socket, int stop_fd) : socket_(std::move(socket)), stop_fd_(stop_fd) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Whatever must come before the first byte (the TLS handshake).
  virtual Io Handshake(MonotonicTime deadline) = 0;
  // Who the client proved to be. Valid after the handshake.
  virtual std::optional<TlsPeer> Peer() const = 0;

  // At least one byte into `buffer`; `count` is set when kOk. What has already arrived is read even
  // while the server stops; what has not is not waited for, since nothing was done for it yet.
  Io Read(char* buffer, std::size_t size, std::size_t& count, MonotonicTime deadline);
  // All of it; a stop does not cut an answer.
  Io Write(std::string_view bytes, MonotonicTime deadline);
  // Until a byte can be read, without reading it. Here a stop ends the wait: the connection is
  // idle.
  Io WaitReadable(MonotonicTime deadline);
  // For streams: `eventfd` readable (kOk), or the client hung up, or the server stops.
  Io WaitEvent(int eventfd, MonotonicTime deadline);

  // From any thread: the connection's own thread finds it closed, whatever it waits for. The
  // process must ignore SIGPIPE, as for a client that goes away.
  void Abort();

  // Tells the peer that nothing more will come, then reads and drops what it still sends, so that
  // the kernel does not answer with a reset that would take our last answer away from it.
  void CloseGently(MonotonicTime deadline);

 protected:
  // One try without waiting: bytes moved (> 0), or why not. kWantRead and kWantWrite: poll for that
  // first (TLS may want the other direction).
  enum class Try { kDone, kWantRead, kWantWrite, kClosed };
  virtual Try TryRead(char* buffer, std::size_t size, std::size_t& count) = 0;
  virtual Try TryWrite(const char* bytes, std::size_t size, std::size_t& count) = 0;
  // Bytes that were already taken from the socket and that poll cannot see.
  virtual bool HasBuffered() const = 0;
  virtual void SendGoodbye() = 0;

  int fd() const { return socket_.get(); }
  enum class OnStop { kGiveUp, kGoOn };
  Io WaitSocket(Try wanted, MonotonicTime deadline, OnStop on_stop);

 private:
  UniqueFd socket_;
  int stop_fd_;
};

std::unique_ptr<Transport> MakePlainTransport(UniqueFd socket, int stop_fd);

}  // namespace forkplane::apiserver
