#include "drivers/netlink/socket.h"

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace forkplane::netlink {
namespace {

constexpr timeval kAnswerTimeout = {30, 0};
constexpr int kOn = 1;

std::atomic<std::uint64_t> requests_sent = 0;
std::atomic<std::uint64_t> answers_read = 0;

// No part of an answer is larger: the kernel cuts dumps to 32 KiB.
constexpr std::size_t kAnswerBytesMax = std::size_t{32} * 1024;

struct FreeBuffer {
  void operator()(unsigned char* buffer) const { std::free(buffer); }  // libnl's malloc
};

// The number and the text of an NLMSG_ERROR message. The attributes stand behind the copy of our
// request, of which NETLINK_CAP_ACK leaves the header only.
Error ErrorOf(const nlmsghdr* message, std::string_view what) {
  const auto* error = HeaderOf<nlmsgerr>(message);
  if (error == nullptr) return Unavailable(fmt::format("{}: short netlink error", what));
  std::string explanation;
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
    explanation = Attributes(message, sizeof(nlmsgerr)).Text(NLMSGERR_ATTR_MSG);
  }
  return KernelError(-error->error, what, explanation);
}

// The status a dump ends with.
int DoneErrno(const nlmsghdr* message) {
  const auto* status = HeaderOf<int>(message);
  return status != nullptr && *status < 0 ? -*status : 0;
}

}  // namespace

Error KernelError(int errno_value, std::string_view what, std::string_view explanation) {
  Error error = FromErrno(errno_value, what);
  if (errno_value == EXFULL) error.code = Code::kExhausted;
  if (errno_value == ENETDOWN) error.code = Code::kConflict;
  if (errno_value == EADDRNOTAVAIL) error.code = Code::kNotFound;
  if (!explanation.empty()) error.message += fmt::format(": {}", explanation);
  return error;
}

void Socket::Free::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<Socket> Socket::Open(int family) {
  Socket socket(nl_socket_alloc());
  if (socket.socket_ == nullptr) return Exhausted("netlink socket: out of memory");
  if (const int rc = nl_connect(socket.socket_.get(), family); rc < 0) {
    return Unavailable(fmt::format("netlink socket: {}", nl_geterror(rc)));
  }
  // With a size given libnl reads at once, instead of asking for the size of each answer first.
  nl_socket_set_msg_buf_size(socket.socket_.get(), kAnswerBytesMax);
  const int fd = nl_socket_get_fd(socket.socket_.get());
  // Strict checking makes the kernel honour the filters in dump requests (5.0).
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    if (setsockopt(fd, SOL_NETLINK, option, &kOn, sizeof kOn) != 0) {
      return FromErrno(errno, "netlink socket option");
    }
  }
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout, sizeof kAnswerTimeout) != 0) {
    return FromErrno(errno, "netlink socket timeout");
  }
  return socket;
}

std::uint32_t Socket::Port() const { return nl_socket_get_local_port(socket_.get()); }

Status Socket::Exchange(Message& message, std::string_view what, const OnMessage& on_message,
                        bool& interrupted) {
  nl_complete_msg(socket_.get(), message.raw());
  const std::uint32_t sequence = nlmsg_hdr(message.raw())->nlmsg_seq;
  if (const int rc = nl_send(socket_.get(), message.raw()); rc < 0) {
    return Unavailable(fmt::format("{}: send: {}", what, nl_geterror(rc)));
  }
  requests_sent.fetch_add(1, std::memory_order_relaxed);
  return Receive(sequence, what, on_message, interrupted);
}

Status Socket::Receive(std::uint32_t sequence, std::string_view what, const OnMessage& on_message,
                       bool& interrupted) {
  while (true) {
    sockaddr_nl from = {};
    unsigned char* raw = nullptr;
    int left = nl_recv(socket_.get(), &from, &raw, nullptr);
    const std::unique_ptr<unsigned char, FreeBuffer> buffer(raw);
    if (left <= 0) return Unavailable(fmt::format("{}: receive: {}", what, nl_geterror(left)));
    for (auto* part = reinterpret_cast<nlmsghdr*>(raw); nlmsg_ok(part, left);
         part = nlmsg_next(part, &left)) {
      if (part->nlmsg_seq != sequence) continue;  // of an exchange that was given up
      answers_read.fetch_add(1, std::memory_order_relaxed);
      interrupted = interrupted || (part->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (part->nlmsg_type == NLMSG_DONE) {
        const int error = DoneErrno(part);
        return error == 0 ? OkStatus() : Status(KernelError(error, what));
      }
      if (part->nlmsg_type != NLMSG_ERROR) {
        on_message(part);
        continue;
      }
      const auto* error = HeaderOf<nlmsgerr>(part);
      if (error != nullptr && error->error == 0) return OkStatus();
      return ErrorOf(part, what);
    }
  }
}

Status Socket::Request(Message& message, std::string_view what) {
  return Get(message, what, [](const nlmsghdr*) {});
}

Status Socket::RequestAll(std::span<Message> messages, std::string_view what) {
  std::string bytes;
  std::vector<std::uint32_t> sequences;
  for (Message& message : messages) {
    nl_complete_msg(socket_.get(), message.raw());
    nlmsghdr* header = nlmsg_hdr(message.raw());
    header->nlmsg_flags |= NLM_F_ACK;
    sequences.push_back(header->nlmsg_seq);
    bytes.append(reinterpret_cast<const char*>(header), header->nlmsg_len);
    bytes.resize(NLMSG_ALIGN(bytes.size()));
  }
  if (const int rc = nl_sendto(socket_.get(), bytes.data(), bytes.size()); rc < 0) {
    return Unavailable(fmt::format("{}: send: {}", what, nl_geterror(rc)));
  }
  requests_sent.fetch_add(messages.size(), std::memory_order_relaxed);
  bool interrupted = false;
  Status outcome = OkStatus();
  for (const std::uint32_t sequence : sequences) {
    Status status = Receive(
        sequence, what, [](const nlmsghdr*) {}, interrupted);
    if (outcome.ok()) outcome = std::move(status);
  }
  return outcome;
}

Status Socket::Get(Message& message, std::string_view what, const OnMessage& on_message) {
  nlmsg_hdr(message.raw())->nlmsg_flags |= NLM_F_ACK;
  bool interrupted = false;
  return Exchange(message, what, on_message, interrupted);
}

Status Socket::Dump(const std::function<Message()>& make, std::string_view what,
                    const std::function<void()>& reset, const OnMessage& on_message) {
  for (int i = 0; i < kDumpTriesMax; ++i) {
    reset();
    Message message = make();
    nlmsg_hdr(message.raw())->nlmsg_flags |= NLM_F_DUMP;
    bool interrupted = false;
    RETURN_IF_ERROR(Exchange(message, what, on_message, interrupted));
    if (!interrupted) return OkStatus();
  }
  return Unavailable(fmt::format("{}: interrupted {} times by changes", what, kDumpTriesMax));
}

Traffic TrafficSoFar() {
  return {requests_sent.load(std::memory_order_relaxed),
          answers_read.load(std::memory_order_relaxed)};
}

Status SharedSocket::Request(Message& message, std::string_view what) {
  const MutexLock lock(changes_.mutex);
  return changes_.socket.Request(message, what);
}

Status SharedSocket::RequestAll(std::span<Message> messages, std::string_view what) {
  const MutexLock lock(changes_.mutex);
  return changes_.socket.RequestAll(messages, what);
}

Status SharedSocket::Get(Message& message, std::string_view what,
                         const Socket::OnMessage& on_message) {
  Turn& turn = ForLooks();
  const MutexLock lock(turn.mutex);
  return turn.socket.Get(message, what, on_message);
}

Status SharedSocket::Dump(const std::function<Message()>& make, std::string_view what,
                          const std::function<void()>& reset, const Socket::OnMessage& on_message) {
  Turn& turn = ForLooks();
  const MutexLock lock(turn.mutex);
  return turn.socket.Dump(make, what, reset, on_message);
}

}  // namespace forkplane::netlink
