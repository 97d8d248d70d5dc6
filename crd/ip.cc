#include "crd/ip.h"

#include <fmt/format.h>

#include <optional>

namespace forkplane::crd {
namespace {

// A decimal number without sign or leading zeros, taken from the front.
std::optional<std::uint32_t> TakeNumber(std::string_view& rest, std::uint32_t max) {
  std::uint32_t value = 0;
  std::size_t length = 0;
  while (length < rest.size() && rest[length] >= '0' && rest[length] <= '9') {
    value = value * 10 + static_cast<std::uint32_t>(rest[length] - '0');
    if (value > max || ++length > 3) return std::nullopt;
  }
  if (length == 0 || (length > 1 && rest[0] == '0')) return std::nullopt;
  rest.remove_prefix(length);
  return value;
}

bool TakeChar(std::string_view& rest, char c) {
  if (!rest.starts_with(c)) return false;
  rest.remove_prefix(1);
  return true;
}

std::optional<std::uint32_t> TakeAddress(std::string_view& rest) {
  std::uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && !TakeChar(rest, '.')) return std::nullopt;
    const auto octet = TakeNumber(rest, 255);
    if (!octet) return std::nullopt;
    bits = bits << 8 | *octet;
  }
  return bits;
}

std::uint32_t MaskOf(int prefix_length) {
  return prefix_length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_length);
}

std::optional<std::uint8_t> HexOctet(char high, char low) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  const int a = digit(high);
  const int b = digit(low);
  if (a < 0 || b < 0) return std::nullopt;
  return static_cast<std::uint8_t>(a * 16 + b);
}

}  // namespace

Result<Ipv4Address> Ipv4Address::Parse(std::string_view text) {
  std::string_view rest = text;
  const auto bits = TakeAddress(rest);
  if (!bits || !rest.empty()) {
    return Invalid(
        fmt::format("'{}' is not an IPv4 address: write it as in 10.0.0.5", text.substr(0, 64)));
  }
  return Ipv4Address(*bits);
}

std::string Ipv4Address::ToString() const {
  return fmt::format("{}.{}.{}.{}", bits_ >> 24, bits_ >> 16 & 0xff, bits_ >> 8 & 0xff,
                     bits_ & 0xff);
}

Result<Ipv4Cidr> Ipv4Cidr::Parse(std::string_view text) {
  std::string_view rest = text;
  const auto bits = TakeAddress(rest);
  std::optional<std::uint32_t> prefix;
  if (bits && TakeChar(rest, '/')) prefix = TakeNumber(rest, 32);
  if (!prefix || !rest.empty()) {
    return Invalid(fmt::format("'{}' is not an IPv4 network: write it as in 10.20.0.0/16",
                               text.substr(0, 64)));
  }
  const auto length = static_cast<int>(*prefix);
  const Ipv4Cidr cidr(Ipv4Address(*bits & MaskOf(length)), length);
  if (cidr.network().bits() != *bits) {
    return Invalid(
        fmt::format("'{}' has bits set behind its prefix: write {}", text, cidr.ToString()));
  }
  return cidr;
}

Ipv4Address Ipv4Cidr::netmask() const { return Ipv4Address(MaskOf(prefix_length_)); }

Ipv4Address Ipv4Cidr::broadcast() const {
  return Ipv4Address(network_.bits() | ~MaskOf(prefix_length_));
}

bool Ipv4Cidr::Contains(Ipv4Address address) const {
  return (address.bits() & MaskOf(prefix_length_)) == network_.bits();
}

bool Ipv4Cidr::Overlaps(const Ipv4Cidr& other) const {
  return Contains(other.network_) || other.Contains(network_);
}

std::string Ipv4Cidr::ToString() const {
  return fmt::format("{}/{}", network_.ToString(), prefix_length_);
}

Result<MacAddress> MacAddress::Parse(std::string_view text) {
  std::array<std::uint8_t, 6> bytes{};
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < 6; ++i) {
    const auto octet = HexOctet(text[i * 3], text[i * 3 + 1]);
    good = octet.has_value() && (i == 5 || text[i * 3 + 2] == ':');
    if (good) bytes[i] = *octet;
  }
  if (!good) {
    return Invalid(fmt::format("'{}' is not a MAC address: write it as in 02:fc:00:00:01:00",
                               text.substr(0, 64)));
  }
  return MacAddress(bytes);
}

std::string MacAddress::ToString() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes_[0], bytes_[1], bytes_[2],
                     bytes_[3], bytes_[4], bytes_[5]);
}

}  // namespace forkplane::crd
