#include "tests/kernel/traffic/dhcp.h"

#include <netinet/in.h>

#include <algorithm>

namespace forkplane::traffic {
namespace {

constexpr std::uint32_t kCookie = 0x63825363;
constexpr std::size_t kBroadcast = 0xffffffff;

MacAddress MacAt(const Bytes& frame, std::size_t at) {
  MacAddress mac;
  for (std::size_t i = 0; i < mac.bytes.size(); ++i) mac.bytes.at(i) = frame.at(at + i);
  return mac;
}

bool IsZero(const Bytes& frame, std::size_t from, std::size_t to) {
  for (std::size_t at = from; at < to; ++at) {
    if (frame.at(at) != 0) return false;
  }
  return true;
}

void ReadOptions(const Bytes& frame, DhcpAnswer& answer) {
  std::size_t at = kDhcpOptions;
  while (at + 1 < frame.size() && frame.at(at) != 255) {
    const std::size_t next = at + 2 + frame.at(at + 1);
    if (next >= frame.size()) return;
    const auto from = frame.begin() + static_cast<std::ptrdiff_t>(at) + 2;
    answer.options[frame.at(at)] = Bytes(from, from + frame.at(at + 1));
    at = next;
  }
  answer.ends = frame.at(at) == 255 && IsZero(frame, at + 1, frame.size());
}

}  // namespace

Bytes DhcpOptions(DhcpType type, std::optional<Ipv4> requested) {
  Bytes options = {53, 1, static_cast<std::uint8_t>(type), 55, 4, 1, 3, 6, 26};
  if (requested) {
    options.insert(options.end(), {50, 4, 0, 0, 0, 0});
    Write32(options, options.size() - 4, requested->value);
  }
  options.push_back(255);
  return options;
}

Bytes DhcpFrame(const DhcpQuestion& question) {
  Bytes datagram = Udp(68, 67, question.message_bytes);
  std::fill(datagram.begin() + 8, datagram.end(), std::uint8_t{0});
  datagram.at(8) = 1;
  datagram.at(9) = 1;
  datagram.at(10) = 6;
  Write32(datagram, 12, question.transaction);
  Write16(datagram, 18, question.flags);
  const auto& mac = question.client.bytes;
  std::copy(mac.begin(), mac.end(), datagram.begin() + 8 + 28);
  Write32(datagram, 8 + 236, kCookie);
  std::copy(question.options.begin(), question.options.end(), datagram.begin() + 8 + 240);
  Bytes frame = Packet(question.client, {}, {kBroadcast}, IPPROTO_UDP, datagram);
  std::fill(frame.begin(), frame.begin() + 6, std::uint8_t{0xff});
  return frame;
}

void MendPacket(Bytes& frame) {
  const std::size_t header = std::size_t{frame.at(kIp) & 0xfU} * 4;
  const std::size_t udp = kIp + header;
  Write16(frame, kIp + 2, static_cast<std::uint32_t>(frame.size() - kIp));
  Write16(frame, kIp + 10, 0);
  Write16(frame, kIp + 10, Checksum(frame, kIp, udp));
  Write16(frame, udp + 4, static_cast<std::uint32_t>(frame.size() - udp));
  Write16(frame, udp + 6, 0);
}

std::optional<DhcpAnswer> ParseDhcpAnswer(const Bytes& frame) {
  if (frame.size() < kDhcpOptions + 3 || Read16(frame, 12) != 0x0800 ||
      frame.at(kIp + 9) != IPPROTO_UDP || Read16(frame, kTransport + 2) != 68 ||
      Read32(frame, kDhcpOptions - 4) != kCookie) {
    return std::nullopt;
  }
  DhcpAnswer answer;
  answer.to = MacAt(frame, 0);
  answer.from = MacAt(frame, 6);
  answer.source = {Read32(frame, kIp + 12)};
  answer.destination = {Read32(frame, kIp + 16)};
  answer.ip_is_right = frame.at(kIp) == 0x45 && Read16(frame, kIp + 2) == frame.size() - kIp &&
                       Read16(frame, kIp + 6) == 0 && Checksum(frame, kIp, kTransport) == 0;
  answer.udp_check = Read16(frame, kTransport + 6);
  answer.udp_is_right = Read16(frame, kTransport) == 67 &&
                        Read16(frame, kTransport + 4) == frame.size() - kTransport &&
                        (answer.udp_check == 0 ||
                         Checksum(frame, kTransport, frame.size(), PseudoHeader(frame)) == 0);
  answer.operation = frame.at(kDhcp);
  answer.transaction = Read32(frame, kDhcp + 4);
  answer.flags = Read16(frame, kDhcp + 10);
  answer.yours = {Read32(frame, kDhcp + 16)};
  answer.server = {Read32(frame, kDhcp + 20)};
  answer.client = MacAt(frame, kDhcp + 28);
  answer.names_are_empty = Read16(frame, kDhcp + 1) == 0x0106 &&
                           IsZero(frame, kDhcp + 3, kDhcp + 4) &&
                           IsZero(frame, kDhcp + 34, kDhcp + 236);
  ReadOptions(frame, answer);
  return answer;
}

}  // namespace forkplane::traffic
