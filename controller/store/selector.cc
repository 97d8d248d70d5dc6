#include "controller/store/selector.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "controller/store/errors.h"
#include "crd/json.h"

namespace forkplane::store {
namespace {

using Op = LabelRequirement::Op;

bool IsWordCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.' ||
         c == '/';
}

// Recursive descent is not needed: requirements are flat.
class LabelParser {
 public:
  explicit LabelParser(std::string_view text) : text_(text) {}

  Result<LabelSelector> Parse() {
    LabelSelector selector;
    SkipSpace();
    if (AtEnd()) return selector;
    while (true) {
      ASSIGN_OR_RETURN(LabelRequirement requirement, ParseRequirement());
      selector.requirements.push_back(std::move(requirement));
      SkipSpace();
      if (AtEnd()) return selector;
      if (!Take(',')) return Unexpected("',' or the end");
    }
  }

 private:
  Result<LabelRequirement> ParseRequirement() {
    LabelRequirement requirement;
    SkipSpace();
    const bool negated = Take('!');
    SkipSpace();
    requirement.key = TakeWord();
    if (requirement.key.empty()) return Unexpected("a label key");
    if (!IsLabelKey(requirement.key)) {
      return BadRequestError(
          fmt::format("unable to parse requirement: invalid label key {:?}", requirement.key));
    }
    if (negated) {
      requirement.op = Op::kNotExists;
      return requirement;
    }
    RETURN_IF_ERROR(ParseOperator(&requirement));
    return requirement;
  }

  Status ParseOperator(LabelRequirement* requirement) {
    SkipSpace();
    if (AtEnd() || text_[at_] == ',') return OkStatus();  // kExists
    if (Take('!')) {
      if (!Take('=')) return Unexpected("'!='");
      requirement->op = Op::kNotIn;
      return ParseOneValue(requirement);
    }
    if (Take('=')) {
      Take('=');
      requirement->op = Op::kIn;
      return ParseOneValue(requirement);
    }
    if (Take('>')) {
      requirement->op = Op::kGreater;
      return ParseInteger(requirement);
    }
    if (Take('<')) {
      requirement->op = Op::kLess;
      return ParseInteger(requirement);
    }
    const std::string word = TakeWord();
    if (word != "in" && word != "notin") return Unexpected("'in', 'notin', '=', '!=', '<' or '>'");
    requirement->op = word == "in" ? Op::kIn : Op::kNotIn;
    return ParseSet(requirement);
  }

  Status ParseOneValue(LabelRequirement* requirement) {
    SkipSpace();
    requirement->values = {TakeWord()};  // may be empty: `k=`
    return CheckValue(requirement->values.back());
  }

  Status ParseInteger(LabelRequirement* requirement) {
    RETURN_IF_ERROR(ParseOneValue(requirement));
    if (!ToInteger(requirement->values.back())) {
      return BadRequestError(
          fmt::format("unable to parse requirement: {:?}: for 'Gt', 'Lt' "
                      "operators, the value must be an integer",
                      requirement->values.back()));
    }
    return OkStatus();
  }

  Status ParseSet(LabelRequirement* requirement) {
    SkipSpace();
    if (!Take('(')) return Unexpected("'('");
    while (true) {
      SkipSpace();
      requirement->values.push_back(TakeWord());
      RETURN_IF_ERROR(CheckValue(requirement->values.back()));
      SkipSpace();
      if (Take(')')) break;
      if (!Take(',')) return Unexpected("',' or ')'");
    }
    std::sort(requirement->values.begin(), requirement->values.end());
    return OkStatus();
  }

  Status CheckValue(const std::string& value) const {
    if (value.size() <= 63 && value.find('/') == std::string::npos) return OkStatus();
    return BadRequestError(
        fmt::format("unable to parse requirement: invalid label value {:?}", value));
  }

  static bool IsLabelKey(const std::string& key) {
    const std::size_t slash = key.find('/');
    const std::string name = slash == std::string::npos ? key : key.substr(slash + 1);
    const bool one_slash = name.find('/') == std::string::npos;
    return one_slash && !name.empty() && name.size() <= 63 && slash != 0 &&
           std::isalnum(static_cast<unsigned char>(name.front())) != 0 &&
           std::isalnum(static_cast<unsigned char>(name.back())) != 0;
  }

  Error Unexpected(std::string_view wanted) const {
    const std::string found = AtEnd() ? "the end" : fmt::format("{:?}", text_.substr(at_, 20));
    return BadRequestError(
        fmt::format("unable to parse requirement: found {}, expected: {}", found, wanted));
  }

  bool AtEnd() const { return at_ == text_.size(); }
  void SkipSpace() {
    while (!AtEnd() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string TakeWord() {
    const std::size_t start = at_;
    while (!AtEnd() && IsWordCharacter(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }

 public:
  static std::optional<std::int64_t> ToInteger(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

bool RequirementMatches(const LabelRequirement& requirement, const Labels& labels) {
  const auto it = labels.find(requirement.key);
  const bool present = it != labels.end();
  const auto in_values = [&] {
    const auto& values = requirement.values;
    return std::find(values.begin(), values.end(), it->second) != values.end();
  };
  switch (requirement.op) {
    case Op::kExists:
      return present;
    case Op::kNotExists:
      return !present;
    case Op::kIn:
      return present && in_values();
    case Op::kNotIn:
      return !present || !in_values();
    case Op::kGreater:
    case Op::kLess: {
      if (!present) return false;
      const auto value = LabelParser::ToInteger(it->second);
      const auto bound = LabelParser::ToInteger(requirement.values.front());
      if (!value || !bound) return false;
      return requirement.op == Op::kGreater ? *value > *bound : *value < *bound;
    }
  }
  return false;
}

std::string FieldValue(const Object& object, const std::string& path) {
  if (path == "metadata.name") return object.meta.name;
  if (path == "metadata.namespace") return object.meta.ns;
  for (const auto& [known, value] : object.fields) {
    if (known == path) return value;
  }
  const Result<crd::Json> json = crd::ParseJson(object.text);
  if (!json.ok()) return {};
  const crd::Json* found = crd::FindPath(*json, path);
  if (found == nullptr || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : crd::DumpJson(*found);
}

// One requirement's text, escapes still in it.
Result<FieldRequirement> ParseFieldRequirement(std::string_view text) {
  FieldRequirement requirement;
  bool in_value = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string& part = in_value ? requirement.value : requirement.path;
    const char c = text[i];
    if (c == '\\') {
      if (i + 1 == text.size() || std::string_view("\\,=").find(text[i + 1]) == text.npos) {
        return BadRequestError(fmt::format("invalid field selector: bad escape in {:?}", text));
      }
      part += text[++i];
    } else if (!in_value && (c == '=' || (c == '!' && text.substr(i, 2) == "!="))) {
      requirement.negated = c == '!';
      if (text.substr(i, 2) == "==" || c == '!') ++i;
      in_value = true;
    } else if (in_value && c == '=') {
      return BadRequestError(fmt::format("invalid field selector: unescaped '=' in {:?}", text));
    } else {
      part += c;
    }
  }
  if (!in_value || requirement.path.empty()) {
    return BadRequestError(
        fmt::format("invalid selector: '{}'; can't understand '{}'", text, text));
  }
  return requirement;
}

// Where the next unescaped comma is, or the end.
std::size_t FieldRequirementEnd(std::string_view text, std::size_t from) {
  std::size_t i = from;
  while (i < text.size() && text[i] != ',') i += text[i] == '\\' ? 2U : 1U;
  return std::min(i, text.size());
}

}  // namespace

bool LabelSelector::Matches(const Labels& labels) const {
  return std::all_of(
      requirements.begin(), requirements.end(),
      [&labels](const LabelRequirement& one) { return RequirementMatches(one, labels); });
}

Result<LabelSelector> ParseLabelSelector(std::string_view text) {
  if (text.size() > kSelectorBytesMax) return BadRequestError("label selector is too long");
  return LabelParser(text).Parse();
}

LabelSelector MatchLabels(const Labels& labels) {
  LabelSelector selector;
  for (const auto& [key, value] : labels) {
    selector.requirements.push_back({.key = key, .op = Op::kIn, .values = {value}});
  }
  return selector;
}

bool FieldSelector::Matches(const Object& object) const {
  return std::all_of(requirements.begin(), requirements.end(),
                     [&object](const FieldRequirement& one) {
                       return (FieldValue(object, one.path) == one.value) != one.negated;
                     });
}

Result<FieldSelector> ParseFieldSelector(std::string_view text) {
  if (text.size() > kSelectorBytesMax) return BadRequestError("field selector is too long");
  FieldSelector selector;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = FieldRequirementEnd(text, at);
    const std::string_view part = text.substr(at, end - at);
    at = end + 1;
    if (part.empty()) continue;  // upstream skips empty parts, too
    ASSIGN_OR_RETURN(FieldRequirement requirement, ParseFieldRequirement(part));
    selector.requirements.push_back(std::move(requirement));
  }
  return selector;
}

}  // namespace forkplane::store
