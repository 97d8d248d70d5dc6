#include "controller/apiserver/rest/jsonpath.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {

using crd::Json;

class JsonPath::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<Step>> Run() {
    std::vector<Step> steps;
    if (!text_.empty() && text_[0] != '.' && text_[0] != '[') {
      RETURN_IF_ERROR(Field(steps));
    }
    while (at_ < text_.size()) {
      if (text_[at_] == '.') {
        ++at_;
        if (at_ < text_.size() && text_[at_] == '[') continue;
        RETURN_IF_ERROR(Field(steps));
      } else if (text_[at_] == '[') {
        RETURN_IF_ERROR(Bracket(steps));
      } else {
        return Bad("expected '.' or '['");
      }
    }
    return steps;
  }

 private:
  Error Bad(std::string_view what) const {
    return Invalid(fmt::format("json path {}: at {}: {}", Quoted(text_), at_, what));
  }

  // A name up to the next '.' or '['; a backslash takes the next character literally.
  Status Field(std::vector<Step>& steps) {
    std::string name;
    while (at_ < text_.size() && text_[at_] != '.' && text_[at_] != '[') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      name += text_[at_++];
    }
    if (name.empty()) return Bad("empty field name");
    if (name == "*") {
      steps.push_back({.kind = Step::Kind::kAll});
    } else {
      steps.push_back({.field = std::move(name)});
    }
    return OkStatus();
  }

  Status Bracket(std::vector<Step>& steps) {
    const std::size_t close = text_.find(']', at_);
    if (close == std::string_view::npos) return Bad("missing ']'");
    const std::string_view inner = Trim(text_.substr(at_ + 1, close - at_ - 1));
    if (inner.starts_with("?(") && inner.ends_with(")")) {
      RETURN_IF_ERROR(Filter(inner.substr(2, inner.size() - 3), steps));
    } else if (inner == "*") {
      steps.push_back({.kind = Step::Kind::kAll});
    } else if (inner.size() >= 2 && (inner[0] == '\'' || inner[0] == '"') &&
               inner.back() == inner[0]) {
      steps.push_back({.field = std::string(inner.substr(1, inner.size() - 2))});
    } else {
      int index = 0;
      const auto [end, error] = std::from_chars(inner.data(), inner.data() + inner.size(), index);
      if (error != std::errc{} || end != inner.data() + inner.size()) return Bad("bad index");
      steps.push_back({.kind = Step::Kind::kIndex, .index = index});
    }
    at_ = close + 1;
    return OkStatus();
  }

  // @.a.b=="text" or !=; the literal may be quoted either way, or bare.
  Status Filter(std::string_view expression, std::vector<Step>& steps) {
    Step step{.kind = Step::Kind::kFilter};
    std::size_t op = expression.find("==");
    if (op == std::string_view::npos) {
      op = expression.find("!=");
      step.negated = true;
    }
    if (op == std::string_view::npos) return Bad("only == and != filters are known");
    const std::string_view left = Trim(expression.substr(0, op));
    std::string_view right = Trim(expression.substr(op + 2));
    if (!left.starts_with("@.")) return Bad("a filter starts with @.");
    for (const std::string_view part : Split(left.substr(2), '.')) {
      step.filter_path.emplace_back(part);
    }
    if (right.size() >= 2 && (right[0] == '"' || right[0] == '\'') && right.back() == right[0]) {
      right = right.substr(1, right.size() - 2);
    }
    step.literal = right;
    steps.push_back(std::move(step));
    return OkStatus();
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Result<JsonPath> JsonPath::Parse(std::string_view text) {
  JsonPath path;
  ASSIGN_OR_RETURN(path.steps_, Parser(text).Run());
  return path;
}

namespace {

const Json* Follow(const Json& value, const std::vector<std::string>& path) {
  const Json* at = &value;
  for (const std::string& name : path) {
    if (!at->is_object()) return nullptr;
    const auto it = at->find(name);
    if (it == at->end()) return nullptr;
    at = &*it;
  }
  return at;
}

bool EqualsText(const Json& value, const std::string& literal) {
  return value.is_string() ? value.get_ref<const std::string&>() == literal
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace) == literal;
}

}  // namespace

void JsonPath::Apply(const Step& step, const Json& value, std::vector<const Json*>& out) {
  switch (step.kind) {
    case Step::Kind::kField: {
      if (!value.is_object()) return;
      const auto it = value.find(step.field);
      if (it != value.end()) out.push_back(&*it);
      return;
    }
    case Step::Kind::kIndex: {
      if (!value.is_array()) return;
      const auto size = static_cast<std::int64_t>(value.size());
      const std::int64_t index = step.index < 0 ? size + step.index : step.index;
      if (index >= 0 && index < size) out.push_back(&value[static_cast<std::size_t>(index)]);
      return;
    }
    case Step::Kind::kAll:
      if (value.is_structured()) {
        for (const Json& element : value) out.push_back(&element);
      }
      return;
    case Step::Kind::kFilter:
      if (!value.is_array()) return;
      for (const Json& element : value) {
        const Json* at = Follow(element, step.filter_path);
        if ((at != nullptr && EqualsText(*at, step.literal)) != step.negated) {
          out.push_back(&element);
        }
      }
      return;
  }
}

std::vector<const Json*> JsonPath::Find(const Json& root) const {
  std::vector<const Json*> at{&root};
  for (const Step& step : steps_) {
    std::vector<const Json*> next;
    for (const Json* value : at) Apply(step, *value, next);
    at = std::move(next);
  }
  return at;
}

}  // namespace forkplane::apiserver
