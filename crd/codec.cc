#include "crd/codec.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace forkplane::crd {

void Decoder::Fail(const FieldPath& path, std::string_view why) {
  if (error_) return;
  const std::string field = path.ToString();
  error_ = Invalid(field.empty() ? std::string(why) : fmt::format("{}: {}", field, why));
}

void Decoder::Decode(const Json& json, const FieldPath& path, bool& field) {
  if (!json.is_boolean()) return Fail(path, "must be a boolean");
  field = json.get<bool>();
}

void Decoder::Decode(const Json& json, const FieldPath& path, std::int64_t& field) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: a client wrote 3.0 for 3
  const bool integral = json.is_number_float() && std::trunc(json.get<double>()) == json &&
                        std::abs(json.get<double>()) <= kExact;
  if (!json.is_number_integer() && !integral) return Fail(path, "must be an integer");
  field = json.get<std::int64_t>();
}

void Decoder::Decode(const Json& json, const FieldPath& path, double& field) {
  if (!json.is_number()) return Fail(path, "must be a number");
  field = json.get<double>();
}

void Decoder::Decode(const Json& json, const FieldPath& path, std::string& field) {
  if (!json.is_string()) return Fail(path, "must be a string");
  field = json.get<std::string>();
}

void Decoder::Decode(const Json& json, const FieldPath& path, Quantity& field) {
  const std::string text = json.is_string() ? json.get<std::string>() : DumpJson(json);
  auto value = Quantity::Parse(text);
  if (!value.ok()) return Fail(path, value.error().message);
  field = std::move(value).value();
}

void Decoder::Decode(const Json& json, const FieldPath& path, Duration& field) {
  auto value = Duration::Parse(json.is_string() ? json.get<std::string>() : DumpJson(json));
  if (!value.ok()) return Fail(path, value.error().message);
  field = std::move(value).value();
}

const Json* Decoder::Find(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const Json& Decoder::Item(const Json& list, std::size_t index) { return list[index]; }

std::size_t Decoder::ListSize(const Json& json, const FieldPath& path) {
  if (json.is_array()) return json.size();
  Fail(path, "must be a list");
  return 0;
}

std::vector<std::string> Decoder::Keys(const Json& json, const FieldPath& path) {
  std::vector<std::string> keys;
  if (!CheckObject(json, path)) return keys;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_null()) keys.push_back(key);
  }
  return keys;
}

bool Decoder::CheckObject(const Json& json, const FieldPath& path) {
  if (json.is_object()) return true;
  Fail(path, "must be an object");
  return false;
}

bool Encoder::Encode(Json& json, bool field) {
  json = field;
  return true;
}

bool Encoder::Encode(Json& json, std::int64_t field) {
  json = field;
  return true;
}

// 4, not 4.0: as it was written.
bool Encoder::Encode(Json& json, double field) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (std::trunc(field) == field && std::abs(field) <= kExact) {
    json = static_cast<std::int64_t>(field);
  } else {
    json = field;
  }
  return true;
}

bool Encoder::Encode(Json& json, const std::string& field) {
  json = field;
  return !field.empty();
}

void Encoder::MakeList(Json& json) { json = Json::array(); }
void Encoder::MakeObject(Json& json) { json = Json::object(); }
Json& Encoder::Append(Json& list) { return list.emplace_back(); }
Json& Encoder::Member(Json& object, std::string_view name) { return object[std::string(name)]; }
bool Encoder::IsEmpty(const Json& json) { return json.empty(); }
void Encoder::Remove(std::string_view name) { object_.erase(std::string(name)); }

}  // namespace forkplane::crd
