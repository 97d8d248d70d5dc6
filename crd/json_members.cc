#include "crd/json_members.h"

#include <nlohmann/json.hpp>

namespace forkplane::crd {
namespace {

std::string TextIn(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::int64_t IntegerIn(const Json& value) {
  return value.is_number_integer() ? value.get<std::int64_t>() : 0;
}

const Json& Nothing() {
  static const Json nothing;
  return nothing;
}

const Json& At(const Json& object, std::string_view path) {
  const Json* value = FindPath(object, path);
  return value == nullptr ? Nothing() : *value;
}

}  // namespace

const Json& MemberOf(const Json& object, std::string_view key) {
  if (!object.is_object()) return Nothing();
  const auto found = object.find(key);
  return found == object.end() ? Nothing() : *found;
}

std::string TextOf(const Json& object, std::string_view key) {
  return TextIn(MemberOf(object, key));
}

std::vector<std::string> TextsOf(const Json& object, std::string_view key) {
  std::vector<std::string> texts;
  const Json& list = MemberOf(object, key);
  if (!list.is_array()) return texts;
  for (const Json& item : list) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

bool FlagOf(const Json& object, std::string_view key, bool otherwise) {
  const Json& value = MemberOf(object, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

std::int64_t IntegerOf(const Json& object, std::string_view key) {
  return IntegerIn(MemberOf(object, key));
}

std::string TextAt(const Json& object, std::string_view path) { return TextIn(At(object, path)); }

std::int64_t IntegerAt(const Json& object, std::string_view path) {
  return IntegerIn(At(object, path));
}

}  // namespace forkplane::crd
