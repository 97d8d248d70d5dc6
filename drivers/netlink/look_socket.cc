#include "drivers/netlink/look_socket.h"

#include <netlink/msg.h>

#include <algorithm>
#include <vector>

namespace forkplane::netlink {
namespace {

// Of the whole process, as ports are: readers and lookers do not know each other. (They are unique
// in a network namespace only; libnl derives those of one process from its pid.)
class Ports {
 public:
  void Add(std::uint32_t port) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    ports_.push_back(port);
  }
  void Remove(std::uint32_t port) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    const auto at = std::find(ports_.begin(), ports_.end(), port);
    if (at != ports_.end()) ports_.erase(at);
  }
  bool Contains(std::uint32_t port) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    return std::find(ports_.begin(), ports_.end(), port) != ports_.end();
  }

 private:
  Mutex mu_;
  std::vector<std::uint32_t> ports_ GUARDED_BY(mu_);  // a handful
};

Ports& LookPorts() {
  static Ports ports;
  return ports;
}

}  // namespace

Result<std::unique_ptr<LookSocket>> LookSocket::Open() {
  ASSIGN_OR_RETURN(Socket socket, Socket::Open());
  const std::uint32_t port = socket.Port();
  return std::unique_ptr<LookSocket>(new LookSocket(std::move(socket), port));
}

LookSocket::LookSocket(Socket socket, std::uint32_t port)
    : socket_(std::move(socket)), port_(port) {
  LookPorts().Add(port_);
}

LookSocket::~LookSocket() { LookPorts().Remove(port_); }

Status LookSocket::Look(Message& message, std::string_view what,
                        const Socket::OnMessage& on_message) {
  nlmsg_hdr(message.raw())->nlmsg_flags |= NLM_F_ECHO;
  return socket_.Get(message, what, on_message);
}

bool IsLook(std::uint32_t port) { return LookPorts().Contains(port); }

}  // namespace forkplane::netlink
