#include "controller/ledger/records.h"

#include <fmt/format.h>

#include <charconv>

namespace forkplane::ledger {

std::string ToString(const Owner& owner) { return fmt::format("{}/{}", owner.ns, owner.name); }

std::string_view ToString(InterfaceState state) {
  return state == InterfaceState::kActive ? "Active" : "Releasing";
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
