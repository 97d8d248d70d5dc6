#include "controller/apiserver/discovery/proto_writer.h"

#include <bit>

namespace forkplane::apiserver {
namespace {

constexpr int kWireVarint = 0;
constexpr int kWireFixed64 = 1;
constexpr int kWireBytes = 2;

}  // namespace

void ProtoWriter::AddRawVarint(std::uint64_t value) {
  while (value >= 0x80) {
    bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  bytes_ += static_cast<char>(value);
}

void ProtoWriter::AddTag(int field, int wire_type) {
  AddRawVarint((static_cast<std::uint64_t>(field) << 3) | static_cast<std::uint64_t>(wire_type));
}

void ProtoWriter::AddVarint(int field, std::uint64_t value) {
  AddTag(field, kWireVarint);
  AddRawVarint(value);
}

void ProtoWriter::AddBytes(int field, std::string_view bytes) {
  AddTag(field, kWireBytes);
  AddRawVarint(bytes.size());
  bytes_ += bytes;
}

void ProtoWriter::AddDouble(int field, double value) {
  AddTag(field, kWireFixed64);
  const auto bits = std::bit_cast<std::uint64_t>(value);
  for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>((bits >> shift) & 0xff);
}

}  // namespace forkplane::apiserver
