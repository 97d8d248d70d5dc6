#include "controller/apiserver/proto/wire_reader.h"

#include <fmt/format.h>

namespace forkplane::apiserver {
namespace {

constexpr unsigned kVarintBits = 64;
constexpr std::uint64_t kFieldNumberMax = (1U << 29) - 1;

}  // namespace

Result<std::uint64_t> WireReader::Varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < kVarintBits; shift += 7) {
    if (rest_.empty()) return Invalid("protobuf: a number is cut off");
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == kVarintBits - 1 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
    if (byte < 0x80) return value;
  }
  return Invalid("protobuf: a number has more than 64 bits");
}

Result<std::string_view> WireReader::Take(std::uint64_t size) {
  if (size > rest_.size()) {
    return Invalid(
        fmt::format("protobuf: a field of {} bytes where {} are left", size, rest_.size()));
  }
  const std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(taken.size());
  return taken;
}

Result<std::optional<WireField>> WireReader::Next() {
  if (rest_.empty()) return std::optional<WireField>();
  ASSIGN_OR_RETURN(const std::uint64_t key, Varint());
  const std::uint64_t number = key >> 3;
  if (number == 0 || number > kFieldNumberMax) {
    return Invalid(fmt::format("protobuf: there is no field number {}", number));
  }
  WireField field{.number = static_cast<std::uint32_t>(number),
                  .type = static_cast<WireType>(key & 7U)};
  switch (field.type) {
    case WireType::kVarint: {
      ASSIGN_OR_RETURN(field.varint, Varint());
      return std::optional(field);
    }
    case WireType::kBytes: {
      ASSIGN_OR_RETURN(const std::uint64_t size, Varint());
      ASSIGN_OR_RETURN(field.bytes, Take(size));
      return std::optional(field);
    }
    case WireType::kFixed64: {
      ASSIGN_OR_RETURN(field.bytes, Take(8));
      return std::optional(field);
    }
    case WireType::kFixed32: {
      ASSIGN_OR_RETURN(field.bytes, Take(4));
      return std::optional(field);
    }
  }
  return Invalid(fmt::format("protobuf: field {} has wire type {}", number, key & 7U));
}

}  // namespace forkplane::apiserver
