// Protocol buffers wire format, writing only: what OpenAPI v2 for old kubectls needs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace forkplane::apiserver {

// Appends fields to a message. A nested message is written by its own writer and added as bytes.
class ProtoWriter {
 public:
  void AddVarint(int field, std::uint64_t value);
  void AddBool(int field, bool value) { AddVarint(field, value ? 1 : 0); }
  void AddBytes(int field, std::string_view bytes);
  void AddDouble(int field, double value);
  void AddMessage(int field, const ProtoWriter& message) { AddBytes(field, message.bytes()); }

  const std::string& bytes() const { return bytes_; }
  std::string Take() && { return std::move(bytes_); }

 private:
  void AddTag(int field, int wire_type);
  void AddRawVarint(std::uint64_t value);

  std::string bytes_;
};

}  // namespace forkplane::apiserver
