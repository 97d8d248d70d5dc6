// A guest as its TAP sees it: builds frames as the inner identity and reads what arrives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/unique_fd.h"

namespace forkplane::traffic {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::size_t kEthernet = 14;
inline constexpr std::size_t kIp = kEthernet;              // offset of the IPv4 header
inline constexpr std::size_t kTransport = kEthernet + 20;  // behind one without options

std::uint16_t Read16(const Bytes& frame, std::size_t at);
std::uint32_t Read32(const Bytes& frame, std::size_t at);
void Write16(Bytes& frame, std::size_t at, std::uint32_t value);
void Write32(Bytes& frame, std::size_t at, std::uint32_t value);
// 0 when the checksum in the range is right; `seed` is the pseudo header's part.
std::uint16_t Checksum(const Bytes& frame, std::size_t from, std::size_t to,
                       std::uint32_t seed = 0);
std::uint32_t PseudoHeader(const Bytes& frame);

Bytes Ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type);
Bytes ArpRequest(const MacAddress& mac, Ipv4 sender, Ipv4 target);
// With right checksums.
Bytes Packet(const MacAddress& from_mac, Ipv4 from, Ipv4 to, std::uint8_t protocol, Bytes payload);
Bytes Udp(std::uint16_t from, std::uint16_t to, std::size_t size);
Bytes TcpSyn(std::uint16_t from, std::uint16_t to);
// Port unreachable about `packet`.
Bytes IcmpUnreachable(const Bytes& packet);

// A TCP packet of many segments, as the host's stack hands it to a device that segments: `size`
// bytes of payload from the gateway.
Bytes Segments(const MacAddress& to_mac, Ipv4 to, std::size_t size);

// Sends such packets out of a link, past whatever is above it.
class SegmentSender {
 public:
  explicit SegmentSender(std::uint32_t index);
  bool Send(const Bytes& segments) const;

 private:
  UniqueFd socket_;
};

class Guest {
 public:
  explicit Guest(UniqueFd tap) : tap_(std::move(tap)) {}
  bool Send(const Bytes& frame) const;
  // A packet whose checksum, from `start` on, the host is to make and to put `offset` behind it. A
  // guest's own stack sends UDP so.
  bool SendUnfinished(const Bytes& frame, std::uint16_t start = kTransport,
                      std::uint16_t offset = 6) const;
  // Many TCP segments in one packet, for the host to cut.
  bool SendSegments(const Bytes& frame, std::uint16_t start = kTransport,
                    std::uint16_t offset = 16) const;
  // The next frame that matches, without its vnet header; nullopt after `milliseconds`.
  std::optional<Bytes> Receive(const std::function<bool(const Bytes&)>& matches,
                               int milliseconds = 3000) const;

 private:
  bool SendBehind(Bytes vnet_header, const Bytes& frame) const;

  UniqueFd tap_;
};

}  // namespace forkplane::traffic
