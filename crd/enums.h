// Enums whose names are the API's words. An enum of ours has EnumNames<E>::kNames in the order of
// its enumerators; a test compares them with the schema's enum.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace forkplane::crd {

template <typename E>
struct EnumNames;

template <typename E>
concept ApiEnum = requires {
  EnumNames<E>::kNames;
};

template <ApiEnum E>
constexpr std::string_view ToString(E value) {
  return EnumNames<E>::kNames[static_cast<std::size_t>(value)];
}

template <ApiEnum E>
constexpr std::optional<E> FromString(std::string_view text) {
  for (std::size_t i = 0; i < EnumNames<E>::kNames.size(); ++i) {
    if (EnumNames<E>::kNames[i] == text) return static_cast<E>(i);
  }
  return std::nullopt;
}

// FORKPLANE_API_ENUM(PowerState, "Running", ...): inside namespace forkplane::crd, after the enum.
#define FORKPLANE_API_ENUM(E, ...)                                                 \
  template <>                                                                      \
  struct EnumNames<E> {                                                            \
    static constexpr auto kNames = std::to_array<std::string_view>({__VA_ARGS__}); \
  }

}  // namespace forkplane::crd
