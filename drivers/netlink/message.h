// One netlink message to send, and typed views of the attributes of one received. Building cannot
// fail: a message is a page and ours are a few hundred bytes (asserted).
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct nl_msg;

namespace forkplane::netlink {

// What one read of an event socket takes: the kernel packs events, but never more of them.
inline constexpr std::size_t kEventReadBytes = std::size_t{64} * 1024;

class Message {
 public:
  // `flags` without NLM_F_REQUEST, which every message of ours has.
  Message(std::uint16_t type, int flags);

  // The family's fixed header (ifinfomsg, tcmsg, ...); first, once.
  template <typename T>
  Message& Header(const T& header) {
    Append(&header, sizeof header);
    return *this;
  }
  Message& Bytes(int type, const void* data, std::size_t size);
  Message& U8(int type, std::uint8_t value) { return Bytes(type, &value, sizeof value); }
  Message& U32(int type, std::uint32_t value) { return Bytes(type, &value, sizeof value); }
  Message& U64(int type, std::uint64_t value) { return Bytes(type, &value, sizeof value); }
  // With its terminating zero.
  Message& Text(int type, const std::string& value) {
    return Bytes(type, value.c_str(), value.size() + 1);
  }
  template <typename T>
  Message& Struct(int type, const T& value) {
    return Bytes(type, &value, sizeof value);
  }
  template <typename Fill>
  Message& Nest(int type, const Fill& fill) {
    nlattr* start = BeginNest(type);
    fill(*this);
    EndNest(start);
    return *this;
  }

  nl_msg* raw() { return message_.get(); }

 private:
  struct Free {
    void operator()(nl_msg* message) const;
  };
  void Append(const void* data, std::size_t size);
  nlattr* BeginNest(int type);
  void EndNest(nlattr* start);

  std::unique_ptr<nl_msg, Free> message_;
};

// The attributes of one level. Views into the message: valid as long as it.
class Attributes {
 public:
  Attributes() = default;
  // Those behind the fixed header of `header_size` bytes.
  Attributes(const nlmsghdr* message, std::size_t header_size);
  // Those inside a nested attribute; nullptr gives none.
  explicit Attributes(const nlattr* nest);

  const nlattr* Get(int type) const;
  Attributes Nested(int type) const { return Attributes(Get(type)); }
  std::optional<std::uint8_t> U8(int type) const { return Read<std::uint8_t>(type); }
  std::optional<std::uint32_t> U32(int type) const { return Read<std::uint32_t>(type); }
  std::optional<std::uint64_t> U64(int type) const { return Read<std::uint64_t>(type); }
  std::string Text(int type) const;
  // A struct the kernel may have made longer, or cut, since: what is missing stays zero.
  template <typename T>
  std::optional<T> Read(int type) const {
    T value = {};
    if (!Copy(type, &value, sizeof value)) return std::nullopt;
    return value;
  }

 private:
  static constexpr int kTypeMax = 96;  // above every type of the families we read
  bool Copy(int type, void* to, std::size_t size) const;
  std::array<const nlattr*, kTypeMax + 1> table_ = {};
};

// The fixed header of a received message; nullptr when the message is too short for it.
template <typename T>
const T* HeaderOf(const nlmsghdr* message) {
  if (message->nlmsg_len < NLMSG_LENGTH(sizeof(T))) return nullptr;
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(message) + NLMSG_HDRLEN);
}

}  // namespace forkplane::netlink
