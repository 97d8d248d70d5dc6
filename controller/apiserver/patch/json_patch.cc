#include "controller/apiserver/patch/json_patch.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/apiserver/patch/json_pointer.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

enum class Verb : std::uint8_t { kAdd, kRemove, kReplace, kMove, kCopy, kTest };

constexpr std::array<std::pair<std::string_view, Verb>, 6> kVerbs = {{{"add", Verb::kAdd},
                                                                      {"remove", Verb::kRemove},
                                                                      {"replace", Verb::kReplace},
                                                                      {"move", Verb::kMove},
                                                                      {"copy", Verb::kCopy},
                                                                      {"test", Verb::kTest}}};

bool TakesValue(Verb verb) {
  return verb == Verb::kAdd || verb == Verb::kReplace || verb == Verb::kTest;
}
bool TakesFrom(Verb verb) { return verb == Verb::kMove || verb == Verb::kCopy; }

Result<std::string> TextMember(const Json& operation, const char* name) {
  const auto member = operation.find(name);
  if (member == operation.end() || !member->is_string()) {
    return Invalid(fmt::format("{} is missing or no string", name));
  }
  return member->get<std::string>();
}

Result<JsonPointer> PointerMember(const Json& operation, const char* name) {
  ASSIGN_OR_RETURN(const std::string text, TextMember(operation, name));
  return ParsePointer(text);
}

// What one patch has used up of its bounds.
struct Budget {
  std::size_t work = 0;
  std::size_t copied = 0;

  Status Spend(std::size_t amount) {
    work += amount;
    if (work <= kPatchWorkMax) return OkStatus();
    return Invalid("the patch asks for too much work");
  }
};

// Walks a value that shall stand `depth` levels deep; adds its bytes, about as JSON would have
// them, to `bytes`.
Status Measure(const Json& value, std::size_t depth, Budget& budget, std::size_t& bytes) {
  RETURN_IF_ERROR(budget.Spend(1));
  if (value.is_string()) {
    bytes += value.get_ref<const std::string&>().size() + 2;
    return OkStatus();
  }
  bytes += sizeof(std::int64_t);
  if (!value.is_structured()) return OkStatus();
  if (depth >= kPatchDepthMax) {
    return Invalid(fmt::format("the result is nested deeper than {} levels", kPatchDepthMax));
  }
  if (value.is_array()) {
    for (const Json& item : value) RETURN_IF_ERROR(Measure(item, depth + 1, budget, bytes));
    return OkStatus();
  }
  for (const auto& [key, item] : value.items()) {
    bytes += key.size() + 2;
    RETURN_IF_ERROR(Measure(item, depth + 1, budget, bytes));
  }
  return OkStatus();
}

Error NowhereError(const JsonPointer& path) {
  return Invalid(fmt::format("there is no {:?}", ToString(path)));
}

JsonPointer ParentOf(const JsonPointer& path) { return {path.begin(), path.end() - 1}; }

Result<Json> Take(const JsonPointer& path, Json& object, Budget& budget) {
  if (path.empty()) return Invalid("the whole object cannot be taken away");
  Json* parent = FindPointer(object, ParentOf(path));
  Json* found = parent == nullptr ? nullptr : FindPointer(*parent, {path.back()});
  if (found == nullptr) return NowhereError(path);
  Json value = std::move(*found);
  if (parent->is_object()) {
    parent->erase(path.back());
    return value;
  }
  const std::size_t index = *ParseIndex(path.back(), parent->size());
  RETURN_IF_ERROR(budget.Spend(parent->size() - index));
  parent->erase(index);
  return value;
}

Status Add(const JsonPointer& path, Json value, Json& object, Budget& budget) {
  std::size_t bytes = 0;
  RETURN_IF_ERROR(Measure(value, path.size(), budget, bytes));
  if (path.empty()) {
    object = std::move(value);
    return OkStatus();
  }
  Json* parent = FindPointer(object, ParentOf(path));
  if (parent == nullptr) return NowhereError(ParentOf(path));
  if (parent->is_object()) {
    (*parent)[path.back()] = std::move(value);
    return OkStatus();
  }
  if (!parent->is_array()) return NowhereError(path);
  const std::size_t size = parent->size();
  const std::optional<std::size_t> index =
      path.back() == "-" ? std::optional(size) : ParseIndex(path.back(), size + 1);
  if (!index) return NowhereError(path);
  RETURN_IF_ERROR(budget.Spend(size - *index));
  parent->insert(parent->begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
  return OkStatus();
}

Status Replace(const JsonPointer& path, const Json& value, Json& object, Budget& budget) {
  std::size_t bytes = 0;
  RETURN_IF_ERROR(Measure(value, path.size(), budget, bytes));
  Json* found = FindPointer(object, path);
  if (found == nullptr) return NowhereError(path);
  *found = value;
  return OkStatus();
}

Status Move(const JsonPointer& from, const JsonPointer& path, Json& object, Budget& budget) {
  if (from == path && FindPointer(object, from) != nullptr) return OkStatus();
  const bool into_itself =
      from.size() < path.size() && std::equal(from.begin(), from.end(), path.begin());
  if (into_itself) {
    return Invalid(fmt::format("{:?} cannot be moved into itself", ToString(from)));
  }
  ASSIGN_OR_RETURN(Json value, Take(from, object, budget));
  return Add(path, std::move(value), object, budget);
}

Status Copy(const JsonPointer& from, const JsonPointer& path, Json& object, Budget& budget) {
  const Json* found = FindPointer(std::as_const(object), from);
  if (found == nullptr) return NowhereError(from);
  // Measured before it is copied, so that nothing beyond the bounds is ever made.
  RETURN_IF_ERROR(Measure(*found, path.size(), budget, budget.copied));
  if (budget.copied > kPatchCopiedBytesMax) {
    return Invalid(fmt::format("the patch copies more than {} bytes", kPatchCopiedBytesMax));
  }
  return Add(path, *found, object, budget);
}

Status Test(const JsonPointer& path, const Json& value, const Json& object) {
  const Json* found = FindPointer(object, path);
  if (found == nullptr) return NowhereError(path);
  if (*found == value) return OkStatus();
  return Invalid("the value is another one");
}

}  // namespace

struct JsonPatch::Operation {
  Verb verb = Verb::kTest;
  JsonPointer path;
  JsonPointer from;  // of move and copy
  Json value;        // of add, replace and test

  static Result<Operation> Parse(const Json& json) {
    if (!json.is_object()) return Invalid("an operation is a JSON object");
    ASSIGN_OR_RETURN(const std::string name, TextMember(json, "op"));
    const auto* const verb = std::find_if(kVerbs.begin(), kVerbs.end(),
                                          [&](const auto& one) { return one.first == name; });
    if (verb == kVerbs.end()) return Invalid(fmt::format("there is no operation {:?}", name));
    Operation operation{.verb = verb->second, .path = {}, .from = {}, .value = {}};
    ASSIGN_OR_RETURN(operation.path, PointerMember(json, "path"));
    if (TakesFrom(operation.verb)) {
      ASSIGN_OR_RETURN(operation.from, PointerMember(json, "from"));
    }
    if (TakesValue(operation.verb)) {
      const auto value = json.find("value");
      if (value == json.end()) return Invalid("value is missing");
      operation.value = *value;
    }
    return operation;
  }

  Status Apply(Json& object, Budget& budget) const {
    switch (verb) {
      case Verb::kAdd:
        return Add(path, value, object, budget);
      case Verb::kRemove: {
        RETURN_IF_ERROR(Take(path, object, budget));
        return OkStatus();
      }
      case Verb::kReplace:
        return Replace(path, value, object, budget);
      case Verb::kMove:
        return Move(from, path, object, budget);
      case Verb::kCopy:
        return Copy(from, path, object, budget);
      case Verb::kTest:
        return Test(path, value, object);
    }
    return OkStatus();
  }
};

Result<JsonPatch> JsonPatch::Parse(const Json& document) {
  if (!document.is_array()) return Invalid("a JSON patch is a list of operations");
  if (document.size() > kPatchOperationsMax) {
    return Exhausted(fmt::format("The allowed maximum operations in a JSON patch is {}, got {}",
                                 kPatchOperationsMax, document.size()));
  }
  auto operations = std::make_shared<std::vector<Operation>>();
  operations->reserve(document.size());
  for (std::size_t i = 0; i < document.size(); ++i) {
    Result<Operation> operation = Operation::Parse(document[i]);
    if (!operation.ok()) {
      return std::move(operation).error().WithContext(fmt::format("operation {}", i));
    }
    operations->push_back(std::move(operation).value());
  }
  JsonPatch patch;
  patch.operations_ = std::move(operations);
  return patch;
}

Status JsonPatch::Apply(Json& object) const {
  if (operations_ == nullptr) return OkStatus();
  Budget budget;
  for (std::size_t i = 0; i < operations_->size(); ++i) {
    const Operation& operation = (*operations_)[i];
    Status applied = operation.Apply(object, budget);
    if (applied.ok()) continue;
    const auto index = static_cast<std::size_t>(operation.verb);
    return std::move(applied).error().WithContext(
        fmt::format("operation {} ({} {})", i, kVerbs.at(index).first, ToString(operation.path)));
  }
  return OkStatus();
}

}  // namespace forkplane::apiserver
