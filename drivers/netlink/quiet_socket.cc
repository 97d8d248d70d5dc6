#include "drivers/netlink/quiet_socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace forkplane::netlink {
namespace {

// Drops every message that carries one of the ports. The kernel reads words in network order.
Status Filter(int socket, const std::vector<std::uint32_t>& ports) {
  constexpr std::uint32_t kAll = 0xffffffff;
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(nlmsghdr, nlmsg_pid))};
  for (const std::uint32_t port : ports) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, kAll));
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0) {
    return OkStatus();
  }
  return FromErrno(errno, "filter of the event socket");
}

// Of the whole process, as ports are: readers and doers do not know each other. (They are unique
// in a network namespace only; libnl derives those of one process from its pid.) What is done under
// the lock does not wait.
class Registry {
 public:
  Status Add(std::uint32_t port) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    ports_.push_back(port);
    return FilterAll();
  }
  void Remove(std::uint32_t port) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    std::erase(ports_, port);
    // Fails as little as it did with one port more.
    [[maybe_unused]] const Status filtered = FilterAll();
  }
  Status Follow(int reader) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    RETURN_IF_ERROR(Filter(reader, ports_));
    readers_.push_back(reader);
    return OkStatus();
  }
  void Leave(int reader) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    std::erase(readers_, reader);
  }

 private:
  Status FilterAll() REQUIRES(mu_) {
    for (const int reader : readers_) RETURN_IF_ERROR(Filter(reader, ports_));
    return OkStatus();
  }

  Mutex mu_;
  std::vector<std::uint32_t> ports_ GUARDED_BY(mu_);  // a handful
  std::vector<int> readers_ GUARDED_BY(mu_);
};

Registry& Quiet() {
  static Registry registry;
  return registry;
}

}  // namespace

Result<std::unique_ptr<QuietSocket>> QuietSocket::Open() {
  ASSIGN_OR_RETURN(Socket socket, Socket::Open());
  const std::uint32_t port = socket.Port();
  RETURN_IF_ERROR(Quiet().Add(port));
  return std::unique_ptr<QuietSocket>(new QuietSocket(std::move(socket), port));
}

Result<std::unique_ptr<QuietSocket>> QuietSocket::OpenFor(OwnChanges own) {
  if (own == OwnChanges::kTold) return std::unique_ptr<QuietSocket>();
  return Open();
}

QuietSocket::QuietSocket(Socket socket, std::uint32_t port)
    : socket_(std::move(socket)), port_(port) {}

QuietSocket::~QuietSocket() { Quiet().Remove(port_); }

Status QuietSocket::Look(Message& message, std::string_view what,
                         const Socket::OnMessage& on_message) {
  nlmsg_hdr(message.raw())->nlmsg_flags |= NLM_F_ECHO;
  return socket_.Get(message, what, on_message);
}

Result<std::unique_ptr<QuietFilter>> QuietFilter::Attach(int socket) {
  RETURN_IF_ERROR(Quiet().Follow(socket));
  return std::unique_ptr<QuietFilter>(new QuietFilter(socket));
}

QuietFilter::~QuietFilter() { Quiet().Leave(socket_); }

}  // namespace forkplane::netlink
