#include "controller/apiserver/patch/json_pointer.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace forkplane::apiserver {

using crd::Json;

namespace {

Result<std::string> Unescape(std::string_view token) {
  std::string text;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '~') {
      text += token[i];
      continue;
    }
    const char code = ++i < token.size() ? token[i] : '\0';
    if (code != '0' && code != '1') {
      return Invalid(fmt::format("{:?} has a ~ that is neither ~0 nor ~1", token));
    }
    text += code == '0' ? '~' : '/';
  }
  return text;
}

// The member or element of one step; null: there is none.
template <typename Value>
Value* Step(Value& at, const std::string& token) {
  if (at.is_object()) {
    const auto member = at.find(token);
    return member == at.end() ? nullptr : &*member;
  }
  if (!at.is_array()) return nullptr;
  const std::optional<std::size_t> index = ParseIndex(token, at.size());
  return index ? &at[*index] : nullptr;
}

template <typename Value>
Value* Walk(Value& document, const JsonPointer& pointer) {
  Value* at = &document;
  for (const std::string& token : pointer) {
    at = Step(*at, token);
    if (at == nullptr) return nullptr;
  }
  return at;
}

}  // namespace

Result<JsonPointer> ParsePointer(std::string_view text) {
  JsonPointer pointer;
  if (text.empty()) return pointer;
  if (text.front() != '/') return Invalid(fmt::format("{:?} does not begin with a slash", text));
  while (!text.empty()) {
    text.remove_prefix(1);
    const std::size_t end = std::min(text.find('/'), text.size());
    ASSIGN_OR_RETURN(std::string token, Unescape(text.substr(0, end)));
    pointer.push_back(std::move(token));
    text.remove_prefix(end);
  }
  return pointer;
}

std::string ToString(const JsonPointer& pointer) {
  std::string text;
  for (const std::string& token : pointer) {
    text += '/';
    for (const char c : token) {
      if (c == '~' || c == '/') {
        text += c == '~' ? "~0" : "~1";
      } else {
        text += c;
      }
    }
  }
  return text;
}

const Json* FindPointer(const Json& document, const JsonPointer& pointer) {
  return Walk(document, pointer);
}

Json* FindPointer(Json& document, const JsonPointer& pointer) { return Walk(document, pointer); }

std::optional<std::size_t> ParseIndex(std::string_view token, std::size_t size) {
  if (token.empty() || (token.size() > 1 && token.front() == '0')) return std::nullopt;
  std::size_t index = 0;
  const char* const end = token.data() + token.size();
  const auto [stopped, error] = std::from_chars(token.data(), end, index);
  if (error != std::errc{} || stopped != end || index >= size) return std::nullopt;
  return index;
}

}  // namespace forkplane::apiserver
