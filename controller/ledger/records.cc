#include "controller/ledger/records.h"

#include <fmt/format.h>

#include <charconv>

namespace forkplane::ledger {

std::string ToString(const Owner& owner) { return fmt::format("{}/{}", owner.ns, owner.name); }

std::optional<Number> NumberOfTapIndex(std::uint32_t ifindex) {
  if (ifindex < kTapIndexBase || ifindex >= kIfbIndexBase) return std::nullopt;
  const Number number = ifindex - kTapIndexBase;
  if (MinorOf(number) < kMinorMin || MinorOf(number) > kMinorMax) return std::nullopt;
  return number;
}

std::string TapName(Number number) { return fmt::format("fk{:08x}", TapIndex(number)); }
std::string IfbName(std::uint32_t ifb) { return fmt::format("fkifb{}", ifb); }
std::string BridgeName(std::uint32_t bridge) { return fmt::format("fkbr{}", bridge); }

MacAddress OuterMac(Number number) {
  const auto byte = [number](int shift) {
    return static_cast<std::uint8_t>(number >> shift & 255);
  };
  return MacAddress{{0x02, 0xfe, byte(24), byte(16), byte(8), byte(0)}};
}

MacAddress InnerMac(std::uint32_t ordinal) {
  return MacAddress{{0x02, 0xfc, 0x00, 0x00, 0x01, static_cast<std::uint8_t>(ordinal)}};
}

std::string_view ToString(InterfaceState state) {
  return state == InterfaceState::kActive ? "Active" : "Releasing";
}

std::string_view ToString(TapMode mode) {
  return mode == TapMode::kPassFd ? "PassFd" : "OpenByName";
}

std::string_view ToString(Part part) { return part == Part::kTap ? "Tap" : "Class"; }

std::string KeyOf(LeaseId id) { return std::to_string(id); }

std::optional<LeaseId> LeaseIdOf(std::string_view key) {
  LeaseId id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc{} || end != key.data() + key.size()) return std::nullopt;
  return id;
}

}  // namespace forkplane::ledger
