#include <nlohmann/json.hpp>

#include "controller/base/foreign_text.h"
#include "crd/schema.h"

namespace forkplane::crd {
namespace {

std::string GoItems(const Json& list) {
  std::string text;
  for (const Json& item : list) text += (text.empty() ? "" : ", ") + GoText(item);
  return text;
}

std::string GoMembers(const Json& object) {
  std::string text;
  for (const auto& [key, value] : object.items()) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ", ", Quoted(key), GoText(value));
  }
  return text;
}

// A value has any size and may be at fault for many reasons: its beginning tells which one it is.
std::string CutValue(std::string_view text) {
  constexpr std::size_t kBytesMax = 1024;
  return text.size() <= kBytesMax ? std::string(text) : CleanForeignText(text, kBytesMax);
}

}  // namespace

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
          quoted += c;
        }
    }
  }
  return quoted + '"';
}

std::string GoText(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return Quoted(value.get_ref<const std::string&>());
    case Json::value_t::object:
      return fmt::format("map[string]interface {{}}{{{}}}", GoMembers(value));
    case Json::value_t::array:
      return fmt::format("[]interface {{}}{{{}}}", GoItems(value));
    case Json::value_t::null:
      return "\"null\"";
    case Json::value_t::number_float:
      return fmt::format("{:g}", value.get<double>());
    case Json::value_t::boolean:
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  return DumpJson(value);
}

Cause RequiredCause(std::string field, std::string_view detail) {
  return {"FieldValueRequired", std::move(field),
          detail.empty() ? "Required value" : fmt::format("Required value: {}", detail)};
}

Cause InvalidCause(std::string field, std::string_view value_text, std::string_view detail) {
  return {"FieldValueInvalid", std::move(field),
          fmt::format("Invalid value: {}: {}", CutValue(value_text), detail)};
}

Cause ForbiddenCause(std::string field, std::string_view detail) {
  return {"FieldValueForbidden", std::move(field), fmt::format("Forbidden: {}", detail)};
}

}  // namespace forkplane::crd
