// A request/answer socket of rtnetlink, or of another netlink family.
//
// NOTE Threading: one user at a time; SharedSocket adds the lock.
// NOTE Kernel: answers are queued before sendmsg returns, so waiting for them is not waiting, but
// a deadline stands all the same. A dump that the kernel marks as interrupted (NLM_F_DUMP_INTR:
// something changed between two parts of it) is thrown away and asked again, at most kDumpTriesMax
// times; then Unavailable. Errors carry the kernel's own explanation (extended ack).
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "controller/base/mutex.h"
#include "controller/base/result.h"
#include "drivers/netlink/message.h"

struct nl_sock;

namespace forkplane::netlink {

inline constexpr int kDumpTriesMax = 20;

class Socket {
 public:
  // In the network namespace of the calling thread; `family` as NETLINK_ROUTE.
  static Result<Socket> Open(int family = NETLINK_ROUTE);

  // What the kernel knows it by, in messages it sends to others too.
  std::uint32_t Port() const;

  using OnMessage = std::function<void(const nlmsghdr*)>;
  // Sends and waits for the acknowledgement. `what` leads the error's text: "delete link fkbr0".
  Status Request(Message& message, std::string_view what);
  // Several requests in one system call: whatever ends this process, the kernel does all or none of
  // them. Those behind a refused one are made too; the first error is returned.
  Status RequestAll(std::span<Message> messages, std::string_view what);
  // The same for a single object; `on_message` is called with the answer.
  Status Get(Message& message, std::string_view what, const OnMessage& on_message);
  // `make` builds the request anew for each try; `reset` empties what on_message has gathered.
  Status Dump(const std::function<Message()>& make, std::string_view what,
              const std::function<void()>& reset, const OnMessage& on_message);

 private:
  struct Free {
    void operator()(nl_sock* socket) const;
  };
  explicit Socket(nl_sock* socket) : socket_(socket) {}
  // Sends and reads to the end of the answer; `interrupted` reports NLM_F_DUMP_INTR.
  Status Exchange(Message& message, std::string_view what, const OnMessage& on_message,
                  bool& interrupted);
  // Reads to the end of the answer to the request with this number.
  Status Receive(std::uint32_t sequence, std::string_view what, const OnMessage& on_message,
                 bool& interrupted);

  std::unique_ptr<nl_sock, Free> socket_;
};

// What this process has exchanged with the kernel through all its sockets: requests, and messages
// of answers, of which a list has one for each thing in it. Says what a pass costs.
struct Traffic {
  std::uint64_t requests = 0;
  std::uint64_t answers = 0;
  bool operator==(const Traffic&) const = default;
};
Traffic TrafficSoFar();

// A socket that several threads use in turn. With a second one for looks (Get and Dump) no change
// stands behind somebody's look, which stands behind the kernel's lock: the change of a creation
// behind the looks of a thousand releases.
class SharedSocket {
 public:
  explicit SharedSocket(Socket socket) : changes_{{}, std::move(socket)} {}
  SharedSocket(Socket changes, Socket looks)
      : changes_{{}, std::move(changes)}, looks_(new Turn{{}, std::move(looks)}) {}

  Status Request(Message& message, std::string_view what);
  Status RequestAll(std::span<Message> messages, std::string_view what);
  Status Get(Message& message, std::string_view what, const Socket::OnMessage& on_message);
  Status Dump(const std::function<Message()>& make, std::string_view what,
              const std::function<void()>& reset, const Socket::OnMessage& on_message);

 private:
  struct Turn {
    Mutex mutex;
    Socket socket GUARDED_BY(mutex);
  };
  Turn& ForLooks() { return looks_ ? *looks_ : changes_; }

  Turn changes_;
  std::unique_ptr<Turn> looks_;
};

// FromErrno with what rtnetlink means by some numbers: EXFULL is a full bridge (Exhausted),
// ENETDOWN a link that went down (Conflict), EADDRNOTAVAIL an address that is not there (NotFound).
Error KernelError(int errno_value, std::string_view what, std::string_view explanation = {});

}  // namespace forkplane::netlink
