#include "controller/apiserver/rest/option_values.h"

#include <algorithm>
#include <charconv>

#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {
namespace {

// "dry_run", "dry-run" and "dryrun" are the same word to whoever wrote them.
std::string Plain(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c == '-' || c == '_') continue;
    plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return plain;
}

}  // namespace

std::vector<std::string> QueryAll(const HttpRequest& request, const std::string& name) {
  std::vector<std::string> values;
  const auto [begin, end] = request.query.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    if (!it->second.empty()) values.push_back(it->second);
  }
  return values;
}

ApiResult<bool> ParseDryRun(const std::vector<std::string>& values, std::string_view kind) {
  for (const std::string& value : values) {
    if (value == "All") continue;
    return InvalidOptions(
        kind, {"FieldValueNotSupported", "dryRun",
               fmt::format("Unsupported value: []string{{{}}}: supported values: \"All\"",
                           Quoted(value))});
  }
  return !values.empty();
}

ApiResult<std::int64_t> ParseInteger(std::string_view text, std::string_view name) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || at != end) {
    return BadFieldStatus(name, fmt::format("Invalid value: {}: not an integer", Quoted(text)));
  }
  return value;
}

ApiResult<store::Revision> ParseResourceVersion(std::string_view text) {
  store::Revision revision = 0;
  if (!store::ParseRevision(text, &revision)) {
    return BadFieldStatus(
        "resourceVersion",
        fmt::format("Invalid value: {0}: strconv.ParseUint: parsing {0}: invalid syntax",
                    Quoted(text)));
  }
  return revision;
}

ApiStatus UnsupportedOption(std::string_view kind, std::string_view field, std::string_view value,
                            std::string_view supported) {
  return InvalidOptions(
      kind, {"FieldValueNotSupported", std::string(field),
             fmt::format("Unsupported value: {}: supported values: {}", Quoted(value), supported)});
}

ApiResult<bool> CheckParameters(const HttpRequest& request,
                                const std::vector<std::string_view>& known, Unknown unknown) {
  for (const auto& [name, value] : request.query) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string plain = Plain(name);
    const auto meant = std::find_if(known.begin(), known.end(),
                                    [&plain](std::string_view one) { return Plain(one) == plain; });
    if (meant != known.end()) {
      return BadFieldStatus(name, fmt::format("unknown query parameter: did you mean {}?", *meant));
    }
    if (unknown == Unknown::kRefused) return BadFieldStatus(name, "unknown query parameter");
  }
  return true;
}

}  // namespace forkplane::apiserver
