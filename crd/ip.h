// IPv4 addresses, networks and MAC addresses as values, and what a Network's cidr reserves.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane::crd {

// Host byte order: bits() of 10.0.0.1 is 0x0a000001, so addresses can be counted with.
class Ipv4Address {
 public:
  constexpr Ipv4Address() = default;
  constexpr explicit Ipv4Address(std::uint32_t bits) : bits_(bits) {}
  // Four decimal numbers; leading zeros are refused, as Go refuses them (is 010 eight or ten?).
  static Result<Ipv4Address> Parse(std::string_view text);
  constexpr std::uint32_t bits() const { return bits_; }
  std::string ToString() const;
  auto operator<=>(const Ipv4Address&) const = default;

 private:
  std::uint32_t bits_ = 0;
};

// A network: the bits behind the prefix are zero.
class Ipv4Cidr {
 public:
  Ipv4Cidr() = default;
  // "10.20.0.0/16". Host bits set: Invalid, and the message gives the network that was meant.
  static Result<Ipv4Cidr> Parse(std::string_view text);

  Ipv4Address network() const { return network_; }
  int prefix_length() const { return prefix_length_; }
  Ipv4Address netmask() const;
  Ipv4Address broadcast() const;
  std::uint64_t size() const { return std::uint64_t{1} << (32 - prefix_length_); }
  Ipv4Address At(std::uint32_t index) const { return Ipv4Address(network_.bits() + index); }
  bool Contains(Ipv4Address address) const;
  bool Overlaps(const Ipv4Cidr& other) const;
  std::string ToString() const;
  bool operator==(const Ipv4Cidr&) const = default;

  // Our convention (architecture.md section 5): the first host address is the default gateway, the
  // second is the constant inner address of every guest and is never leased.
  Ipv4Address DefaultGateway() const { return At(1); }
  Ipv4Address InnerAddress() const { return At(2); }

 private:
  Ipv4Cidr(Ipv4Address network, int prefix_length)
      : network_(network), prefix_length_(prefix_length) {}
  Ipv4Address network_;
  int prefix_length_ = 32;
};

class MacAddress {
 public:
  constexpr MacAddress() = default;
  constexpr explicit MacAddress(std::array<std::uint8_t, 6> bytes) : bytes_(bytes) {}
  static Result<MacAddress> Parse(std::string_view text);  // "02:fc:00:00:01:00"
  constexpr const std::array<std::uint8_t, 6>& bytes() const { return bytes_; }
  bool IsMulticast() const { return (bytes_[0] & 1) != 0; }
  std::string ToString() const;  // lower case
  auto operator<=>(const MacAddress&) const = default;

 private:
  std::array<std::uint8_t, 6> bytes_{};
};

}  // namespace forkplane::crd
