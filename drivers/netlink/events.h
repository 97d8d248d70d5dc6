// LinkEvents over the multicast groups RTNLGRP_LINK and RTNLGRP_TC, read by a thread of its own.
//
// NOTE Kernel: an event costs ~830 bytes of the receive buffer; 16 MiB hold 10 000 of them
// (measured). On overflow recv says ENOBUFS once, the older events stay readable: they are read,
// and kLost comes first.
#pragma once

#include <memory>
#include <thread>

#include "controller/base/unique_fd.h"
#include "drivers/link_events.h"

namespace forkplane::netlink {

class NetlinkLinkEvents final : public drivers::LinkEvents {
 public:
  // Opens the socket in the network namespace of the calling thread; nothing is missed between
  // Open and Start.
  static Result<std::unique_ptr<NetlinkLinkEvents>> Open();
  ~NetlinkLinkEvents() override { Stop(); }

  Status Start(Callback callback) override;
  void Stop() override;

 private:
  NetlinkLinkEvents(UniqueFd socket, UniqueFd wake)
      : socket_(std::move(socket)), wake_(std::move(wake)) {}
  void Run(const std::stop_token& stop, const Callback& callback);
  // Everything that is queued.
  void Drain(const Callback& callback);

  UniqueFd socket_;
  UniqueFd wake_;  // eventfd: ends the poll
  std::jthread thread_;
};

}  // namespace forkplane::netlink
