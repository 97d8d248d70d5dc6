// A socket for looks at one single thing of traffic control, at a cost that does not grow with what
// else there is.
//
// NOTE Kernel: it tells the answer to a single RTM_GETQDISC or RTM_GETTCLASS to every listener of
// RTNLGRP_TC, as if the thing had changed, and to the asker only when that demands an echo
// (rtnetlink_send in sch_api.c, 6.1 to 6.18). The message carries the asker's port, by which the
// event readers of this process know that nothing has happened (IsLook). Others, `tc monitor`, see
// it: only for what is worth more than a line there.
#pragma once

#include <cstdint>
#include <memory>

#include "drivers/netlink/socket.h"

namespace forkplane::netlink {

class LookSocket {
 public:
  // In the network namespace of the calling thread.
  static Result<std::unique_ptr<LookSocket>> Open();
  ~LookSocket();
  LookSocket(const LookSocket&) = delete;
  LookSocket& operator=(const LookSocket&) = delete;

  // `on_message` is not called when the thing is there but is the kernel's own default. NotFound
  // with errno ENOENT: it is not there; with ENODEV: nor is its link.
  Status Look(Message& message, std::string_view what, const Socket::OnMessage& on_message);

 private:
  explicit LookSocket(Socket socket, std::uint32_t port);

  SharedSocket socket_;
  const std::uint32_t port_;
};

// Whether a message with this port answers a look of this process. Thread-safe.
bool IsLook(std::uint32_t port);

}  // namespace forkplane::netlink
