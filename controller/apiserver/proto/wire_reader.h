// The wire format of protocol buffers, field by field (protobuf.dev, "Encoding").
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane::apiserver {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct WireField {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
  std::uint64_t varint = 0;     // of kVarint
  std::string_view bytes = {};  // of the others; points into the text that is read
};

// Reads one message, without descending: what is nested comes as its bytes. Never reads beyond the
// text, whatever the lengths in it say.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}

  // The next field; nothing at the end. Invalid: cut off, a varint of more than 64 bits, a field
  // number that cannot be, or a group (which Kubernetes never sends).
  Result<std::optional<WireField>> Next();

 private:
  Result<std::uint64_t> Varint();
  Result<std::string_view> Take(std::uint64_t size);

  std::string_view rest_;
};

}  // namespace forkplane::apiserver
