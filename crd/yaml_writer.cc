#include <array>
#include <nlohmann/json.hpp>

#include "crd/yaml.h"
#include "crd/yaml_scalar.h"

namespace forkplane::crd {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Whether the text may stand without quotes and is then read as this text again. Many more could;
// what needs a second look is quoted.
bool IsPlain(const std::string& text) {
  if (text.empty() || !(IsLetter(text.front()) || text.front() == '/' || text.front() == '_')) {
    return false;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool harmless = IsLetter(c) || (c >= '0' && c <= '9') ||
                          std::string_view("_./-+=@").find(c) != std::string_view::npos;
    // A colon before a blank or the end would make a key of it.
    const bool inner_colon = c == ':' && i + 1 < text.size();
    if (!harmless && !inner_colon) return false;
  }
  const Result<Json> read = TypePlainScalar(text);
  return read.ok() && *read == text;
}

// Characters that a YAML reader takes for line ends or does not print, and how they are escaped.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kEscapes = {
    {{"\"", "\\\""},
     {"\\", "\\\\"},
     {"\n", "\\n"},
     {"\t", "\\t"},
     {"\xe2\x80\xa8", "\\u2028"},
     {"\xe2\x80\xa9", "\\u2029"},
     {"\xef\xbb\xbf", "\\uFEFF"}}};

std::string InQuotes(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    std::string_view taken = text.substr(0, 1);
    std::string escaped(taken);
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x20 || first == 0x7f) escaped = fmt::format("\\x{:02X}", first);
    if (first == 0xc2 && text.size() > 1 && static_cast<unsigned char>(text[1]) < 0xa0) {
      taken = text.substr(0, 2);  // C1: U+0080 to U+009F
      escaped = fmt::format("\\x{:02X}", static_cast<unsigned char>(text[1]));
    }
    for (const auto& [plain, escape] : kEscapes) {
      if (!text.starts_with(plain)) continue;
      taken = plain;
      escaped = escape;
      break;
    }
    quoted += escaped;
    text.remove_prefix(taken.size());
  }
  return quoted + '"';
}

std::string ScalarText(const Json& value) {
  if (!value.is_string()) return DumpJson(value);  // "[]" and "{}" too
  const auto& text = value.get_ref<const std::string&>();
  return IsPlain(text) ? text : InQuotes(text);
}

std::string KeyText(const std::string& key) { return IsPlain(key) ? key : InQuotes(key); }

bool IsBlock(const Json& value) { return value.is_structured() && !value.empty(); }

// Lines of a mapping or a list, each but the first behind `indent` blanks.
void Write(const Json& value, std::size_t indent, std::string& out) {
  bool first = true;
  const auto begin_line = [&] {
    if (!first) out.append(indent, ' ');
    first = false;
  };
  if (value.is_array()) {
    for (const Json& item : value) {
      begin_line();
      out += "- ";
      if (IsBlock(item)) {
        Write(item, indent + 2, out);
      } else {
        out += ScalarText(item) + '\n';
      }
    }
    return;
  }
  for (const auto& [key, item] : value.items()) {
    begin_line();
    out += KeyText(key) + ':';
    if (!IsBlock(item)) {
      out += ' ' + ScalarText(item) + '\n';
      continue;
    }
    // A list stands as deep as its key, as kubectl prints it.
    const std::size_t inner = item.is_array() ? indent : indent + 2;
    out += '\n' + std::string(inner, ' ');
    Write(item, inner, out);
  }
}

}  // namespace

std::string DumpYaml(const Json& value) {
  if (!IsBlock(value)) return ScalarText(value) + '\n';
  std::string out;
  Write(value, 0, out);
  return out;
}

}  // namespace forkplane::crd
