// IPv4 addresses, blocks and MAC addresses as values. Parsing accepts exactly one spelling of each,
// so equal things print equally.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane {

// `value` is in host byte order: 10.0.0.1 is 0x0a000001. Zero means "none".
struct Ipv4 {
  std::uint32_t value = 0;

  bool empty() const { return value == 0; }
  auto operator<=>(const Ipv4&) const = default;
};

// Dotted decimal, four parts, no leading zeros.
Result<Ipv4> ParseIpv4(std::string_view text);
std::string ToString(Ipv4 address);

// A block in canonical form: the host bits of `base` are zero.
struct Cidr {
  Ipv4 base;
  int prefix = 32;  // 0 to 32

  constexpr std::uint32_t mask() const {
    return prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix);
  }
  Ipv4 broadcast() const { return Ipv4{base.value | ~mask()}; }
  bool Contains(Ipv4 address) const { return (address.value & mask()) == base.value; }
  bool Overlaps(const Cidr& other) const { return Contains(other.base) || other.Contains(base); }
  // The n-th address of the block; 1 is the first host address.
  constexpr Ipv4 At(std::uint32_t n) const { return Ipv4{base.value + n}; }
  auto operator<=>(const Cidr&) const = default;
};

// "10.0.0.0/16"; host bits that are set are refused as Invalid.
Result<Cidr> ParseCidr(std::string_view text);
std::string ToString(const Cidr& cidr);

// An address with the length of its network part; the host part may be set (10.0.0.1/24 on a
// bridge) or not (10.0.0.0/24 as a route).
struct Ipv4Prefix {
  Ipv4 address;
  std::uint8_t length = 32;  // 0..32
  auto operator<=>(const Ipv4Prefix&) const = default;

  constexpr std::uint32_t Mask() const {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  }
  constexpr Ipv4Prefix Network() const { return {{address.value & Mask()}, length}; }
  constexpr bool Contains(Ipv4 other) const {
    return ((address.value ^ other.value) & Mask()) == 0;
  }
  constexpr bool Overlaps(const Ipv4Prefix& other) const {
    return length <= other.length ? Contains(other.address) : other.Contains(address);
  }
};

Result<Ipv4Prefix> ParsePrefix(std::string_view text);
std::string ToString(const Ipv4Prefix& prefix);  // "10.0.0.1/24"

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  bool empty() const { return bytes == std::array<std::uint8_t, 6>{}; }
  bool IsMulticast() const { return (bytes[0] & 1) != 0; }
  auto operator<=>(const MacAddress&) const = default;
};

// Six pairs of hex digits of either case with colons; printed in lower case.
Result<MacAddress> ParseMac(std::string_view text);
std::string ToString(const MacAddress& mac);

}  // namespace forkplane
