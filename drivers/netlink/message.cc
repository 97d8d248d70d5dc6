#include "drivers/netlink/message.h"

#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cstring>

#include "controller/base/check.h"

namespace forkplane::netlink {

Message::Message(std::uint16_t type, int flags)
    : message_(nlmsg_alloc_simple(type, flags | NLM_F_REQUEST)) {
  CHECK(message_ != nullptr);
}

void Message::Free::operator()(nl_msg* message) const { nlmsg_free(message); }

void Message::Append(const void* data, std::size_t size) {
  // nlmsg_append takes its input as non-const but only reads it.
  CHECK(nlmsg_append(raw(), const_cast<void*>(data), size, NLMSG_ALIGNTO) == 0);
}

Message& Message::Bytes(int type, const void* data, std::size_t size) {
  CHECK(nla_put(raw(), type, static_cast<int>(size), data) == 0);
  return *this;
}

nlattr* Message::BeginNest(int type) {
  nlattr* start = nla_nest_start(raw(), type);
  CHECK(start != nullptr);
  return start;
}

void Message::EndNest(nlattr* start) { nla_nest_end(raw(), start); }

Attributes::Attributes(const nlmsghdr* message, std::size_t header_size) {
  const std::size_t offset = NLMSG_ALIGN(NLMSG_LENGTH(header_size));
  if (message->nlmsg_len <= offset) return;
  auto* first =
      reinterpret_cast<nlattr*>(const_cast<char*>(reinterpret_cast<const char*>(message) + offset));
  nla_parse(const_cast<nlattr**>(table_.data()), kTypeMax, first,
            static_cast<int>(message->nlmsg_len - offset), nullptr);
}

Attributes::Attributes(const nlattr* nest) {
  if (nest == nullptr) return;
  nla_parse_nested(const_cast<nlattr**>(table_.data()), kTypeMax, const_cast<nlattr*>(nest),
                   nullptr);
}

const nlattr* Attributes::Get(int type) const {
  return type >= 0 && type <= kTypeMax ? table_[static_cast<std::size_t>(type)] : nullptr;
}

std::string Attributes::Text(int type) const {
  const nlattr* attribute = Get(type);
  if (attribute == nullptr) return {};
  const auto* text = static_cast<const char*>(nla_data(attribute));
  return std::string(text, strnlen(text, static_cast<std::size_t>(nla_len(attribute))));
}

bool Attributes::Copy(int type, void* to, std::size_t size) const {
  const nlattr* attribute = Get(type);
  if (attribute == nullptr) return false;
  std::memcpy(to, nla_data(attribute),
              std::min(size, static_cast<std::size_t>(nla_len(attribute))));
  return true;
}

}  // namespace forkplane::netlink
