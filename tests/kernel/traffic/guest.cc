#include "tests/kernel/traffic/guest.h"

#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "controller/base/check.h"
#include "controller/base/network_names.h"

namespace forkplane::traffic {
namespace {

constexpr std::size_t kVnetHeader = 12;
constexpr std::size_t kIcmpHeader = 8;
constexpr std::size_t kTcpHeader = 20;
constexpr std::uint16_t kSegmentBytes = 1448;
constexpr Ipv4 kGatewayAddress{0x0a4d0001};  // 10.77.0.1

// struct virtio_net_hdr of <linux/virtio_net.h>, which C++ cannot read.
struct VirtioNetHeader {
  std::uint8_t flags = 1;     // VIRTIO_NET_HDR_F_NEEDS_CSUM
  std::uint8_t gso_type = 1;  // VIRTIO_NET_HDR_GSO_TCPV4
  std::uint16_t header_bytes = kTransport + kTcpHeader;
  std::uint16_t gso_bytes = kSegmentBytes;
  std::uint16_t checksum_start = kTransport;
  std::uint16_t checksum_offset = 16;
};

void Append(Bytes& to, const Bytes& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
void Append(Bytes& to, const MacAddress& mac) {
  to.insert(to.end(), mac.bytes.begin(), mac.bytes.end());
}
void Append32(Bytes& to, std::uint32_t value) {
  to.resize(to.size() + 4);
  Write32(to, to.size() - 4, value);
}

}  // namespace

std::uint16_t Read16(const Bytes& frame, std::size_t at) {
  return static_cast<std::uint16_t>(frame.at(at) << 8 | frame.at(at + 1));
}
std::uint32_t Read32(const Bytes& frame, std::size_t at) {
  return std::uint32_t{Read16(frame, at)} << 16 | Read16(frame, at + 2);
}
void Write16(Bytes& frame, std::size_t at, std::uint32_t value) {
  frame.at(at) = static_cast<std::uint8_t>(value >> 8);
  frame.at(at + 1) = static_cast<std::uint8_t>(value);
}
void Write32(Bytes& frame, std::size_t at, std::uint32_t value) {
  Write16(frame, at, value >> 16);
  Write16(frame, at + 2, value);
}

std::uint16_t Checksum(const Bytes& frame, std::size_t from, std::size_t to, std::uint32_t seed) {
  std::uint32_t sum = seed;
  for (std::size_t at = from; at < to; ++at) {
    sum += (at - from) % 2 == 0 ? std::uint32_t{frame.at(at)} << 8 : frame.at(at);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::uint32_t PseudoHeader(const Bytes& frame) {
  std::uint32_t sum = frame.at(kIp + 9) + Read16(frame, kIp + 2) - 20U;
  for (std::size_t at = kIp + 12; at < kIp + 20; at += 2) sum += Read16(frame, at);
  return sum;
}

Bytes Ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type) {
  Bytes frame;
  Append(frame, to);
  Append(frame, from);
  frame.resize(kEthernet);
  Write16(frame, 12, type);
  return frame;
}

Bytes ArpRequest(const MacAddress& mac, Ipv4 sender, Ipv4 target) {
  Bytes frame = Ethernet({{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, mac, 0x0806);
  Append(frame, Bytes{0, 1, 8, 0, 6, 4, 0, 1});
  Append(frame, mac);
  Append32(frame, sender.value);
  Append(frame, MacAddress{});
  Append32(frame, target.value);
  return frame;
}

Bytes Packet(const MacAddress& from_mac, Ipv4 from, Ipv4 to, std::uint8_t protocol, Bytes payload) {
  Bytes frame = Ethernet(kGatewayMac, from_mac, 0x0800);
  Append(frame, Bytes{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0});
  Append32(frame, from.value);
  Append32(frame, to.value);
  Append(frame, payload);
  Write16(frame, kIp + 2, static_cast<std::uint32_t>(frame.size() - kIp));
  Write16(frame, kIp + 10, Checksum(frame, kIp, kTransport));
  const std::size_t check = kTransport + (protocol == IPPROTO_TCP ? 16 : 6);
  if (protocol != IPPROTO_ICMP) {
    Write16(frame, check, Checksum(frame, kTransport, frame.size(), PseudoHeader(frame)));
  }
  return frame;
}

Bytes Udp(std::uint16_t from, std::uint16_t to, std::size_t size) {
  Bytes datagram(8 + size, 'x');
  Write16(datagram, 0, from);
  Write16(datagram, 2, to);
  Write16(datagram, 4, static_cast<std::uint32_t>(datagram.size()));
  Write16(datagram, 6, 0);
  return datagram;
}

Bytes TcpSyn(std::uint16_t from, std::uint16_t to) {
  Bytes segment(20);
  Write16(segment, 0, from);
  Write16(segment, 2, to);
  Write32(segment, 4, 1000);
  Write16(segment, 12, 0x5002);
  Write16(segment, 14, 1024);
  return segment;
}

Bytes IcmpUnreachable(const Bytes& packet) {
  Bytes message = {3, 3, 0, 0, 0, 0, 0, 0};
  message.insert(message.end(), packet.begin() + kIp, packet.end());
  Write16(message, 2, Checksum(message, 0, message.size()));
  static_assert(kIcmpHeader == 8);
  return message;
}

Bytes Segments(const MacAddress& to_mac, Ipv4 to, std::size_t size) {
  Bytes segment = TcpSyn(80, 7);
  Write16(segment, 12, 0x5010);  // ACK
  segment.resize(segment.size() + size);
  Bytes frame = Packet(kGatewayMac, kGatewayAddress, to, IPPROTO_TCP, segment);
  std::copy(to_mac.bytes.begin(), to_mac.bytes.end(), frame.begin());
  // Of the pseudo header alone: the rest is for whoever cuts it into segments.
  Write16(frame, kTransport + 16,
          static_cast<std::uint16_t>(~Checksum({}, 0, 0, PseudoHeader(frame))));
  return frame;
}

SegmentSender::SegmentSender(std::uint32_t index)
    : socket_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
  const int on = 1;
  CHECK(setsockopt(socket_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) == 0);
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(index);
  CHECK(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

bool SegmentSender::Send(const Bytes& segments) const {
  const VirtioNetHeader header;
  Bytes packet(sizeof header);
  std::memcpy(packet.data(), &header, sizeof header);
  Append(packet, segments);
  return send(socket_.get(), packet.data(), packet.size(), 0) ==
         static_cast<ssize_t>(packet.size());
}

bool Guest::Send(const Bytes& frame) const { return SendBehind(Bytes(kVnetHeader), frame); }

bool Guest::SendUnfinished(const Bytes& frame, std::uint16_t start, std::uint16_t offset) const {
  VirtioNetHeader header;
  header.gso_type = 0;
  header.header_bytes = 0;
  header.gso_bytes = 0;
  header.checksum_start = start;
  header.checksum_offset = offset;
  Bytes bytes(kVnetHeader);
  std::memcpy(bytes.data(), &header, sizeof header);
  return SendBehind(bytes, frame);
}

bool Guest::SendSegments(const Bytes& frame, std::uint16_t start, std::uint16_t offset) const {
  VirtioNetHeader header;
  header.checksum_start = start;
  header.checksum_offset = offset;
  Bytes bytes(kVnetHeader);
  std::memcpy(bytes.data(), &header, sizeof header);
  return SendBehind(bytes, frame);
}

bool Guest::SendBehind(Bytes vnet_header, const Bytes& frame) const {
  Append(vnet_header, frame);
  return write(tap_.get(), vnet_header.data(), vnet_header.size()) ==
         static_cast<ssize_t>(vnet_header.size());
}

std::optional<Bytes> Guest::Receive(const std::function<bool(const Bytes&)>& matches,
                                    int milliseconds) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd file = {tap_.get(), POLLIN, 0};
    if (left.count() <= 0 || poll(&file, 1, static_cast<int>(left.count())) == 0) {
      return std::nullopt;
    }
    Bytes buffer(70'000);
    const ssize_t size = read(tap_.get(), buffer.data(), buffer.size());
    if (size <= static_cast<ssize_t>(kVnetHeader + kEthernet)) continue;
    const Bytes frame(buffer.begin() + kVnetHeader, buffer.begin() + size);
    if (matches(frame)) return frame;
  }
}

}  // namespace forkplane::traffic
