// LinkEvents over multicast groups of rtnetlink and nfnetlink, read by a thread of its own.
//
// NOTE Kernel: an event costs ~830 bytes of the receive buffer; 16 MiB hold 10 000 of them
// (measured). On overflow recv says ENOBUFS once, the older events stay readable, and until the
// last of them is read every new one is dropped without a word. So kLost comes twice: at once, and
// when the older events are read and new ones come again.
#pragma once

#include <poll.h>

#include <array>
#include <chrono>
#include <memory>
#include <thread>

#include "controller/base/unique_fd.h"
#include "drivers/link_events.h"
#include "drivers/netlink/firewall_events.h"
#include "drivers/netlink/quiet_socket.h"

namespace forkplane::netlink {

inline constexpr int kEventBufferBytes = 16 * 1024 * 1024;

// The making of one TAP is a dozen events, each of which would wake the reader.
inline constexpr std::chrono::microseconds kEventGather{1000};

// Of the quiet sockets of this process (quiet_socket.h).
enum class Doings : std::uint8_t { kPassedOver, kTold };

class NetlinkLinkEvents final : public drivers::LinkEvents {
 public:
  // Opens the socket in the network namespace of the calling thread; nothing is missed between
  // Open and Start.
  static Result<std::unique_ptr<NetlinkLinkEvents>> Open(
      int receive_buffer_bytes = kEventBufferBytes, Doings quiet = Doings::kPassedOver);
  ~NetlinkLinkEvents() override { Stop(); }

  Status Start(Callback callback) override;
  void Stop() override;

 private:
  NetlinkLinkEvents(UniqueFd socket, FirewallEvents firewall, UniqueFd wake,
                    std::unique_ptr<QuietFilter> filter)
      : socket_(std::move(socket)),
        firewall_(std::move(firewall)),
        wake_(std::move(wake)),
        filter_(std::move(filter)) {}
  void Run(const std::stop_token& stop, const Callback& callback);
  // After something was read: what comes soon after is read together with what comes then, at one
  // wake-up. Ends early for the firewall and when stopped.
  void Gather(std::array<pollfd, 3>& files) const;
  // Everything that is queued; ends early when stopped.
  void Drain(const std::stop_token& stop, const Callback& callback);

  UniqueFd socket_;
  FirewallEvents firewall_;
  UniqueFd wake_;                        // eventfd: ends the poll
  std::unique_ptr<QuietFilter> filter_;  // after the socket: it goes first
  std::jthread thread_;
};

}  // namespace forkplane::netlink
