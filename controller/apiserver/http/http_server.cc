#include "controller/apiserver/http/http_server.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <utility>

#include "controller/apiserver/http/http_connection.h"
#include "controller/apiserver/http/httplib_gate.h"
#include "controller/apiserver/http/thread_group.h"
#include "controller/apiserver/http/transport.h"
#include "controller/base/log.h"
#include "controller/base/unique_fd.h"

namespace forkplane::apiserver {
namespace {

constexpr int kListenBacklog = 1024;
// Connections over the limit that still get a thread, to be told 503; beyond, they are closed.
constexpr std::size_t kRefusalThreadsMax = 64;

struct AddressInfoDeleter {
  void operator()(addrinfo* info) const { ::freeaddrinfo(info); }
};
using AddressInfo = std::unique_ptr<addrinfo, AddressInfoDeleter>;

// "127.0.0.1:80", "[::1]:80", "localhost:80". Names are not looked up: the address of a listener
// must not depend on a DNS server.
Result<AddressInfo> ParseAddress(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return Invalid("listen on " + address + ": no port");
  std::string host = address.substr(0, colon);
  const std::string port = address.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host == "localhost") host = "127.0.0.1";
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return Invalid("listen on " + address + ": " + ::gai_strerror(error));
  return AddressInfo(found);
}

Result<UniqueFd> Listen(const std::string& address) {
  ASSIGN_OR_RETURN(const AddressInfo info, ParseAddress(address));
  UniqueFd fd(::socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return FromErrno(errno, "listen on " + address);
  const int on = 1;
  // REUSEADDR: a restart may bind while old connections are in TIME_WAIT. Not REUSEPORT: a second
  // daemon would share the port in silence.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (info->ai_family == AF_INET6) {
    const int off = 0;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (::bind(fd.get(), info->ai_addr, info->ai_addrlen) != 0 ||
      ::listen(fd.get(), kListenBacklog) != 0) {
    return FromErrno(errno, "listen on " + address);
  }
  return fd;
}

std::uint16_t PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

std::string AddressText(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST] = "";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof(host), nullptr, 0,
                NI_NUMERICHOST);
  const std::string text = host;
  return text.starts_with("::ffff:") ? text.substr(7) : text;  // IPv4 on a dual-stack socket
}

class RunningHttpServer final : public HttpServer {
 public:
  RunningHttpServer(HttpServerOptions options, HttpHandler& handler, UniqueFd listener,
                    UniqueFd stop_fd, std::unique_ptr<ThreadGroup> connections,
                    std::unique_ptr<ThreadGroup> acceptor)
      : options_(std::move(options)),
        listener_(std::move(listener)),
        stop_fd_(std::move(stop_fd)),
        spare_fd_(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
        port_(PortOf(listener_.get())),
        metrics_(options_.registry, options_.name),
        gate_(options_.timeouts.write),
        unauthenticated_(options_.anonymous_connections_max),
        shared_{handler,
                gate_,
                options_.timeouts,
                options_.budget,
                options_.tls ? options_.anonymous_budget : options_.budget,
                unauthenticated_,
                metrics_,
                stopping_},
        connections_(std::move(connections)),
        acceptor_(std::move(acceptor)) {}
  ~RunningHttpServer() override { Stop(); }

  Status StartAccepting() {
    return acceptor_->Start([this] { AcceptLoop(); });
  }

  std::uint16_t port() const override { return port_; }

  void Stop() override {
    stopping_.store(true);
    const std::uint64_t one = 1;
    (void)!::write(stop_fd_.get(), &one, sizeof(one));  // never read: it stays readable for all
    acceptor_->JoinAll();
    listener_.Reset();
    connections_->JoinAll();
  }

 private:
  void AcceptLoop() {
    for (;;) {
      std::array<pollfd, 3> fds{pollfd{listener_.get(), POLLIN, 0},
                                pollfd{stop_fd_.get(), POLLIN, 0},
                                pollfd{connections_->finished_fd(), POLLIN, 0}};
      ::poll(fds.data(), fds.size(), -1);
      if (fds[1].revents != 0) return;
      if (fds[2].revents != 0) connections_->Reap();
      if (fds[0].revents != 0) AcceptOne();
    }
  }

  void AcceptOne() {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    UniqueFd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EMFILE || errno == ENFILE) DropOne();
      return;
    }
    const std::size_t open = connections_->running();
    const bool over_limit = open >= options_.connections_max;
    if (over_limit) metrics_.connections_refused.Increment();
    if (open >= options_.connections_max + kRefusalThreadsMax) return;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    // A peer that vanished without a FIN is found within minutes, not hours.
    const int idle_seconds = 60;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof(idle_seconds));
    StartConnection(std::move(socket), AddressText(address, size), over_limit);
  }

  // Out of descriptors, the pending connection would keep the listener readable and this loop
  // spinning; the spare descriptor lets us take it and close it.
  void DropOne() {
    metrics_.connections_refused.Increment();
    spare_fd_.Reset();
    UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)).Reset();
    spare_fd_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    log::Warn("connection dropped: no file descriptor is free", {{"listener", options_.name}});
  }

  void StartConnection(UniqueFd socket, std::string remote, bool over_limit) {
    std::shared_ptr<Transport> transport =
        options_.tls ? options_.tls->MakeTransport(std::move(socket), stop_fd_.get())
                     : MakePlainTransport(std::move(socket), stop_fd_.get());
    if (!transport) return;
    metrics_.connections.Add(1);
    const bool evicted = options_.tls && unauthenticated_.Enter(*transport);
    if (evicted) metrics_.connections_evicted.Increment();
    const Status started =
        connections_->Start([this, transport, remote = std::move(remote), over_limit] {
          ServeConnection(shared_, *transport, remote, over_limit);
          unauthenticated_.Leave(*transport);
          metrics_.connections.Add(-1);
        });
    if (started.ok()) return;
    unauthenticated_.Leave(*transport);
    metrics_.connections.Add(-1);
    metrics_.connections_refused.Increment();
    log::Warn("connection dropped", {{"listener", options_.name}, {"error", started.error()}});
  }

  const HttpServerOptions options_;
  UniqueFd listener_;
  UniqueFd stop_fd_;
  UniqueFd spare_fd_;
  const std::uint16_t port_;
  HttpMetrics metrics_;
  HttplibGate gate_;
  UnauthenticatedConnections unauthenticated_;
  std::atomic<bool> stopping_{false};
  HttpShared shared_;
  std::unique_ptr<ThreadGroup> connections_;
  std::unique_ptr<ThreadGroup> acceptor_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                      HttpHandler& handler) {
  ASSIGN_OR_RETURN(UniqueFd listener, Listen(options.address));
  UniqueFd stop_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_fd.valid()) return FromErrno(errno, "eventfd");
  ASSIGN_OR_RETURN(auto connections, ThreadGroup::Make());
  ASSIGN_OR_RETURN(auto acceptor, ThreadGroup::Make());
  auto server = std::make_unique<RunningHttpServer>(std::move(options), handler,
                                                    std::move(listener), std::move(stop_fd),
                                                    std::move(connections), std::move(acceptor));
  RETURN_IF_ERROR(server->StartAccepting());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace forkplane::apiserver
