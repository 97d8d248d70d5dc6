// DHCP messages as a client sends and reads them: the test's own codec, by RFC 2131 and 2132.
#pragma once

#include <map>
#include <optional>

#include "tests/kernel/traffic/guest.h"

namespace forkplane::traffic {

inline constexpr std::size_t kDhcp = kTransport + 8;  // the message in a packet without IP options
inline constexpr std::size_t kDhcpOptions = kDhcp + 240;

enum class DhcpType : std::uint8_t {
  kDiscover = 1,
  kOffer,
  kRequest,
  kDecline,
  kAck,
  kNak,
  kRelease,
  kInform
};

// One that goes to everybody from 0.0.0.0, `message_bytes` long (options behind the end are zero).
struct DhcpQuestion {
  Bytes options;  // behind the cookie
  std::size_t message_bytes = 300;
  MacAddress client;
  std::uint32_t transaction = 0x12345678;
  std::uint16_t flags = 0;
};
Bytes DhcpOptions(DhcpType type, std::optional<Ipv4> requested = {});
Bytes DhcpFrame(const DhcpQuestion& question);
// Mends lengths and checksums after `frame` was changed behind its IPv4 header.
void MendPacket(Bytes& frame);

struct DhcpAnswer {
  MacAddress to, from;
  Ipv4 source, destination;
  bool ip_is_right = false;   // header length, total length and checksum
  bool udp_is_right = false;  // length, and checksum where there is one
  std::uint16_t udp_check = 0;
  std::uint8_t operation = 0;
  std::uint32_t transaction = 0;
  std::uint16_t flags = 0;
  Ipv4 yours, server;
  MacAddress client;
  bool names_are_empty = false;
  bool ends = false;  // the list of options, and nothing is behind it
  std::map<std::uint8_t, Bytes> options;
};
// nullopt: not a DHCP answer.
std::optional<DhcpAnswer> ParseDhcpAnswer(const Bytes& frame);

}  // namespace forkplane::traffic
