#include "drivers/network_types.h"

#include <arpa/inet.h>

#include <charconv>

namespace forkplane::drivers {
namespace {

constexpr std::size_t kMacTextLength = 17;  // "02:fc:00:00:00:01"

// -1: not a lower-case hexadecimal digit.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string ToString(const MacAddress& mac) {
  const auto& b = mac.bytes;
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4],
                     b[5]);
}

std::string ToString(Ipv4Address address) {
  const std::uint32_t v = address.value;
  return fmt::format("{}.{}.{}.{}", v >> 24, v >> 16 & 0xff, v >> 8 & 0xff, v & 0xff);
}

std::string ToString(const Ipv4Prefix& prefix) {
  return fmt::format("{}/{}", ToString(prefix.address), prefix.length);
}

Result<MacAddress> ParseMac(std::string_view text) {
  MacAddress mac;
  bool good = text.size() == kMacTextLength;
  for (std::size_t i = 0; good && i < mac.bytes.size(); ++i) {
    const int high = HexDigit(text[3 * i]);
    const int low = HexDigit(text[3 * i + 1]);
    good = high >= 0 && low >= 0 && (i == 5 || text[3 * i + 2] == ':');
    mac.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (!good) return Invalid(fmt::format("MAC address {}: want the form 02:fc:00:00:00:01", text));
  return mac;
}

Result<Ipv4Address> ParseIpv4(std::string_view text) {
  // inet_pton takes exactly four decimal numbers without leading zeros.
  in_addr address = {};
  if (inet_pton(AF_INET, std::string(text).c_str(), &address) != 1 ||
      text.find('\0') != std::string_view::npos) {
    return Invalid(fmt::format("IPv4 address {}: want the form 10.0.0.1", text));
  }
  return Ipv4Address{ntohl(address.s_addr)};
}

Result<Ipv4Prefix> ParsePrefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  Ipv4Prefix prefix;
  if (slash != std::string_view::npos) {
    ASSIGN_OR_RETURN(prefix.address, ParseIpv4(text.substr(0, slash)));
    const std::string_view length = text.substr(slash + 1);
    const char* end = length.data() + length.size();
    const auto parsed = std::from_chars(length.data(), end, prefix.length);
    const bool canonical = length.size() == 1 || (!length.empty() && length[0] != '0');
    if (parsed.ec == std::errc() && parsed.ptr == end && canonical && prefix.length <= 32) {
      return prefix;
    }
  }
  return Invalid(fmt::format("IPv4 prefix {}: want the form 10.0.0.0/24", text));
}

}  // namespace forkplane::drivers
