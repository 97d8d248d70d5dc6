// Addresses as plain values. Everything here is IPv4: on translated interfaces IPv6 is dropped
// (docs: identity_driver.h), so no driver needs another family yet.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane::drivers {

struct MacAddress {
  std::array<std::uint8_t, 6> bytes = {};
  auto operator<=>(const MacAddress&) const = default;
};

// An address as a number: 10.0.0.1 is 0x0a000001 (host byte order; the wire order is the business
// of the driver that writes it).
struct Ipv4Address {
  std::uint32_t value = 0;
  auto operator<=>(const Ipv4Address&) const = default;
};

// An address with the length of its network part; the host part may be set (10.0.0.1/24 on a
// bridge) or not (10.0.0.0/24 as a route).
struct Ipv4Prefix {
  Ipv4Address address;
  std::uint8_t length = 32;  // 0..32
  auto operator<=>(const Ipv4Prefix&) const = default;

  constexpr std::uint32_t Mask() const {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  }
  constexpr Ipv4Prefix Network() const { return {{address.value & Mask()}, length}; }
  constexpr bool Contains(Ipv4Address other) const {
    return ((address.value ^ other.value) & Mask()) == 0;
  }
  constexpr bool Overlaps(const Ipv4Prefix& other) const {
    return length <= other.length ? Contains(other.address) : other.Contains(address);
  }
};

std::string ToString(const MacAddress& mac);     // "02:fc:00:00:00:01"
std::string ToString(Ipv4Address address);       // "10.0.0.1"
std::string ToString(const Ipv4Prefix& prefix);  // "10.0.0.1/24"

// Invalid unless the whole text is one address in the form ToString gives.
Result<MacAddress> ParseMac(std::string_view text);
Result<Ipv4Address> ParseIpv4(std::string_view text);
Result<Ipv4Prefix> ParsePrefix(std::string_view text);

}  // namespace forkplane::drivers
