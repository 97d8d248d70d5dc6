#include "controller/base/net_address.h"

#include <charconv>

namespace forkplane {
namespace {

// A whole decimal number without sign or leading zeros, at most `max`.
bool ParseNumber(std::string_view text, unsigned max, unsigned& out) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out <= max;
}

// Foreign text in a message is cut: it may be a megabyte.
std::string_view Shown(std::string_view text) { return text.substr(0, 64); }

}  // namespace

Result<Ipv4> ParseIpv4(std::string_view text) {
  std::uint32_t value = 0;
  std::string_view rest = text;
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = part < 3 ? rest.find('.') : rest.size();
    unsigned number = 0;
    if (dot == std::string_view::npos || !ParseNumber(rest.substr(0, dot), 255, number)) {
      return Invalid(
          fmt::format("'{}' is not an IPv4 address: write it as in 10.0.0.5", Shown(text)));
    }
    value = value << 8 | number;
    rest.remove_prefix(part < 3 ? dot + 1 : dot);
  }
  return Ipv4{value};
}

std::string ToString(Ipv4 address) {
  const std::uint32_t v = address.value;
  return fmt::format("{}.{}.{}.{}", v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255);
}

Result<Cidr> ParseCidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  unsigned prefix = 0;
  if (slash == std::string_view::npos || !ParseNumber(text.substr(slash + 1), 32, prefix)) {
    return Invalid(
        fmt::format("'{}' is not an IPv4 network: write it as in 10.20.0.0/16", Shown(text)));
  }
  ASSIGN_OR_RETURN(const Ipv4 base, ParseIpv4(text.substr(0, slash)));
  const Cidr cidr{base, static_cast<int>(prefix)};
  const Ipv4 canonical{base.value & cidr.mask()};
  if (canonical != base) {
    return Invalid(fmt::format("'{}' has bits set behind its prefix: write {}/{}", Shown(text),
                               ToString(canonical), prefix));
  }
  return cidr;
}

std::string ToString(const Cidr& cidr) {
  return fmt::format("{}/{}", ToString(cidr.base), cidr.prefix);
}

Result<Ipv4Prefix> ParsePrefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  unsigned length = 0;
  if (slash == std::string_view::npos || !ParseNumber(text.substr(slash + 1), 32, length)) {
    return Invalid(
        fmt::format("'{}' is not an IPv4 prefix: write it as in 10.20.0.1/16", Shown(text)));
  }
  ASSIGN_OR_RETURN(const Ipv4 address, ParseIpv4(text.substr(0, slash)));
  return Ipv4Prefix{address, static_cast<std::uint8_t>(length)};
}

std::string ToString(const Ipv4Prefix& prefix) {
  return fmt::format("{}/{}", ToString(prefix.address), prefix.length);
}

Result<MacAddress> ParseMac(std::string_view text) {
  const auto refuse = [&] {
    return Invalid(
        fmt::format("'{}' is not a MAC address: write it as in 02:fc:00:00:01:00", Shown(text)));
  };
  if (text.size() != 17) return refuse();
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* at = text.data() + i * 3;
    const auto [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    if (error != std::errc{} || end != at + 2 || (i < 5 && at[2] != ':')) return refuse();
  }
  return mac;
}

std::string ToString(const MacAddress& mac) {
  const auto& b = mac.bytes;
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4],
                     b[5]);
}

}  // namespace forkplane
