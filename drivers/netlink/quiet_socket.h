// A socket whose doings are no news to the event readers of this process: the kernel keeps them
// from those, by the port that every message about them carries.
//
// For looks at one single thing of traffic control, at a cost that does not grow with what else
// there is. The kernel tells the answer to a single RTM_GETQDISC or RTM_GETTCLASS to every listener
// of RTNLGRP_TC, as if the thing had changed, and to the asker only when that demands an echo
// (rtnetlink_send in sch_api.c, 6.1 to 6.18). Others, `tc monitor`, see it: only for what is worth
// more than a line there.
//
// And for changes whose author looks afterwards, and which concern nobody else: their echo would
// make him look once more.
#pragma once

#include <cstdint>
#include <memory>

#include "drivers/netlink/socket.h"

namespace forkplane::netlink {

// What the event readers of this process hear of what a driver does to interfaces of VMs: TBF,
// class, leaf, clsact, filters, host route and neighbour. kPassedOver: its caller looks afterwards,
// and nobody else needs to know. (Changes of a link itself the kernel tells under nobody's port.)
enum class OwnChanges : std::uint8_t { kTold, kPassedOver };

class QuietSocket {
 public:
  // In the network namespace of the calling thread.
  static Result<std::unique_ptr<QuietSocket>> Open();
  // Of a driver that opens one only where it is asked to pass over.
  static Result<std::unique_ptr<QuietSocket>> OpenFor(OwnChanges own);
  ~QuietSocket();
  QuietSocket(const QuietSocket&) = delete;
  QuietSocket& operator=(const QuietSocket&) = delete;

  // `on_message` is not called when the thing is there but is the kernel's own default. NotFound
  // with errno ENOENT: it is not there; with ENODEV: nor is its link.
  Status Look(Message& message, std::string_view what, const Socket::OnMessage& on_message);
  // For changes.
  SharedSocket& socket() { return socket_; }

 private:
  explicit QuietSocket(Socket socket, std::uint32_t port);

  SharedSocket socket_;
  const std::uint32_t port_;
};

// While it lives, the socket of a reader gets nothing of the quiet sockets of this process, those
// that are opened later included.
class QuietFilter {
 public:
  static Result<std::unique_ptr<QuietFilter>> Attach(int socket);
  ~QuietFilter();
  QuietFilter(const QuietFilter&) = delete;
  QuietFilter& operator=(const QuietFilter&) = delete;

 private:
  explicit QuietFilter(int socket) : socket_(socket) {}

  const int socket_;
};

}  // namespace forkplane::netlink
