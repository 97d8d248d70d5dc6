// What a schema says about a value, in the words of apiextensions-apiserver 1.32.
#include <re2/re2.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "crd/field_path.h"
#include "crd/format.h"
#include "crd/schema.h"

namespace forkplane::crd {
namespace {

std::string_view TypeName(Schema::Type type) {
  switch (type) {
    case Schema::Type::kObject:
      return "object";
    case Schema::Type::kArray:
      return "array";
    case Schema::Type::kString:
      return "string";
    case Schema::Type::kInteger:
      return "integer";
    case Schema::Type::kNumber:
      return "number";
    case Schema::Type::kBoolean:
      return "boolean";
    case Schema::Type::kAny:
      break;
  }
  return "any";
}

bool IsInteger(const Json& value) {
  if (value.is_number_integer()) return true;
  return value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>();
}

std::string_view TypeName(const Json& value) {
  if (value.is_number()) return IsInteger(value) ? "integer" : "number";
  return value.type_name();
}

bool HasType(const Schema& schema, const Json& value) {
  if (schema.int_or_string) return value.is_string() || IsInteger(value);
  switch (schema.type) {
    case Schema::Type::kObject:
      return value.is_object();
    case Schema::Type::kArray:
      return value.is_array();
    case Schema::Type::kString:
      return value.is_string();
    case Schema::Type::kInteger:
      return IsInteger(value);
    case Schema::Type::kNumber:
      return value.is_number();
    case Schema::Type::kBoolean:
      return value.is_boolean();
    case Schema::Type::kAny:
      break;
  }
  return true;
}

std::int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

// The map keys of a list item: what makes it the same item as before.
Json ItemKey(const Schema& schema, const Json& item) {
  if (schema.list_type != Schema::ListType::kMap || !item.is_object()) return item;
  Json key = Json::object();
  for (const std::string& name : schema.list_map_keys) {
    if (item.contains(name)) key[name] = item[name];
  }
  return key;
}

class Validator {
 public:
  void Check(const Schema& schema, const Json& value, const Json* old, const FieldPath& path) {
    if (IsFull(causes_)) return;
    if (value.is_null() && schema.nullable) return;
    if (!HasType(schema, value)) return AddTypeCause(schema, value, path);
    if (schema.enum_values && !Contains(*schema.enum_values, value)) {
      return AddEnumCause(schema, value, path);
    }
    if (value.is_string()) CheckString(schema, value, path);
    if (value.is_number()) CheckNumber(schema, value, path);
    if (value.is_array()) CheckArray(schema, value, old, path);
    if (value.is_object()) CheckObject(schema, value, old, path);
    CheckCombinations(schema, value, path);
    CheckRules(schema, value, old, path);
  }

  std::vector<Cause> Take() {
    causes_.insert(causes_.end(), duplicates_.begin(), duplicates_.end());
    if (causes_.size() > kCausesMax) causes_.resize(kCausesMax);
    return std::move(causes_);
  }

 private:
  static bool Contains(const Json& list, const Json& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  }

  void Add(const FieldPath& path, const Json& value, std::string_view detail) {
    const std::string field = path.ToString();
    causes_.push_back(
        InvalidCause(field, GoText(value), fmt::format("{} in body {}", field, detail)));
  }

  void AddType(const FieldPath& path, std::string_view shown, std::string_view wanted) {
    std::string field = path.ToString();
    const std::string quoted = Quoted(shown);
    std::string message = fmt::format("Invalid value: {}: {} in body must be of type {}: {}",
                                      quoted, field, wanted, quoted);
    causes_.push_back({"FieldValueTypeInvalid", std::move(field), std::move(message)});
  }

  void AddTypeCause(const Schema& schema, const Json& value, const FieldPath& path) {
    AddType(path, TypeName(value), schema.int_or_string ? "integer,string" : TypeName(schema.type));
  }

  void AddEnumCause(const Schema& schema, const Json& value, const FieldPath& path) {
    std::string values;
    for (const Json& allowed : *schema.enum_values) {
      values += (values.empty() ? "" : ", ") + GoText(allowed);
    }
    causes_.push_back(
        {"FieldValueNotSupported", path.ToString(),
         fmt::format("Unsupported value: {}: supported values: {}", GoText(value), values)});
  }

  void CheckString(const Schema& schema, const Json& value, const FieldPath& path) {
    const auto& text = value.get_ref<const std::string&>();
    const std::int64_t length = CountCharacters(text);
    if (schema.max_length && length > *schema.max_length) {
      causes_.push_back(
          {"FieldValueTooLong", path.ToString(),
           fmt::format("Too long: may not be more than {} bytes", *schema.max_length)});
    }
    if (schema.min_length && length < *schema.min_length) {
      Add(path, value, fmt::format("should be at least {} chars long", *schema.min_length));
    }
    if (schema.regex && !re2::RE2::PartialMatch(text, *schema.regex)) {
      Add(path, value, fmt::format("should match '{}'", schema.pattern));
    }
    if (!schema.format.empty() && !IsOfFormat(schema.format, text))
      AddType(path, text, schema.format);
  }

  void CheckNumber(const Schema& schema, const Json& value, const FieldPath& path) {
    const double number = value.get<double>();
    if (schema.minimum) {
      const bool low =
          schema.exclusive_minimum ? number <= *schema.minimum : number < *schema.minimum;
      const std::string_view or_equal = schema.exclusive_minimum ? "" : "or equal to ";
      if (low) {
        Add(path, value, fmt::format("should be greater than {}{}", or_equal, *schema.minimum));
      }
    }
    if (schema.maximum) {
      const bool high =
          schema.exclusive_maximum ? number >= *schema.maximum : number > *schema.maximum;
      const std::string_view or_equal = schema.exclusive_maximum ? "" : "or equal to ";
      if (high) {
        Add(path, value, fmt::format("should be less than {}{}", or_equal, *schema.maximum));
      }
    }
    if (schema.multiple_of && std::fmod(number, *schema.multiple_of) != 0) {
      Add(path, value, fmt::format("should be a multiple of {}", *schema.multiple_of));
    }
    constexpr double kInt32Max = 2147483647;
    if (schema.format == "int32" && std::abs(number) > kInt32Max) {
      AddType(path, DumpJson(value), schema.format);
    }
  }

  void CheckArray(const Schema& schema, const Json& value, const Json* old, const FieldPath& path) {
    const auto size = static_cast<std::int64_t>(value.size());
    if (schema.max_items && size > *schema.max_items) {
      causes_.push_back(
          {"FieldValueTooMany", path.ToString(),
           fmt::format("Too many: {}: must have at most {} items", size, *schema.max_items)});
      return;  // the bound is there so that nobody walks the rest
    }
    if (schema.min_items && size < *schema.min_items) {
      Add(path, size, fmt::format("should have at least {} items", *schema.min_items));
    }
    if (!schema.items) return;
    std::set<Json> keys;
    const std::map<Json, const Json*> old_items = ByKey(schema, old);
    for (std::size_t i = 0; i < value.size(); ++i) {
      const Json* old_item = nullptr;
      if (schema.list_type != Schema::ListType::kAtomic) {
        const Json key = ItemKey(schema, value[i]);
        if (!keys.insert(key).second) AddDuplicate(path.Item(i), key);
        const auto found = old_items.find(key);
        if (found != old_items.end()) old_item = found->second;
      }
      Check(*schema.items, value[i], old_item, path.Item(i));
    }
  }

  // Kubernetes reports these after everything else.
  void AddDuplicate(const FieldPath& path, const Json& key) {
    if (duplicates_.size() >= kCausesMax) return;
    duplicates_.push_back(
        {"FieldValueDuplicate", path.ToString(), fmt::format("Duplicate value: {}", GoText(key))});
  }

  // By key, once per list: looking each item up in turn would let one big PUT cost 10^10 steps.
  static std::map<Json, const Json*> ByKey(const Schema& schema, const Json* old) {
    std::map<Json, const Json*> items;
    if (old == nullptr || !old->is_array()) return items;
    if (schema.list_type != Schema::ListType::kMap) return items;
    for (const Json& item : *old) items.emplace(ItemKey(schema, item), &item);
    return items;
  }

  void CheckObject(const Schema& schema, const Json& value, const Json* old,
                   const FieldPath& path) {
    const auto size = static_cast<std::int64_t>(value.size());
    if (schema.max_properties && size > *schema.max_properties) {
      causes_.push_back(
          {"FieldValueTooMany", path.ToString(),
           fmt::format("Too many: {}: must have at most {} items", size, *schema.max_properties)});
      return;
    }
    if (schema.min_properties && size < *schema.min_properties) {
      Add(path, size, fmt::format("should have at least {} properties", *schema.min_properties));
    }
    for (const auto& [name, member] : value.items()) {
      const auto property = schema.properties.find(name);
      const Schema* member_schema = property != schema.properties.end()
                                        ? property->second.get()
                                        : schema.additional_properties.get();
      if (member_schema == nullptr) continue;
      const Json* old_member =
          old != nullptr && old->is_object() && old->contains(name) ? &(*old)[name] : nullptr;
      Check(*member_schema, member, old_member, path.Child(name));
    }
    for (const std::string& name : schema.required) {
      if (!value.contains(name)) causes_.push_back(RequiredCause(path.Child(name).ToString()));
    }
  }

  static bool Holds(const Schema& schema, const Json& value) {
    Validator inner;
    inner.Check(schema, value, nullptr, FieldPath(""));
    return inner.causes_.empty() && inner.duplicates_.empty();
  }

  static std::size_t CountHolding(const std::vector<SchemaPtr>& schemas, const Json& value) {
    const auto holds = [&value](const SchemaPtr& schema) { return Holds(*schema, value); };
    return static_cast<std::size_t>(std::count_if(schemas.begin(), schemas.end(), holds));
  }

  void AddCombination(const FieldPath& path, std::string_view detail) {
    const std::string field = path.ToString();
    causes_.push_back(InvalidCause(field, "\"\"", fmt::format("{} {}", Quoted(field), detail)));
  }

  void CheckCombinations(const Schema& schema, const Json& value, const FieldPath& path) {
    for (const SchemaPtr& part : schema.all_of) Check(*part, value, nullptr, path);
    if (!schema.any_of.empty() && CountHolding(schema.any_of, value) == 0) {
      AddCombination(path, "must validate at least one schema (anyOf)");
    }
    if (!schema.one_of.empty()) {
      const std::size_t count = CountHolding(schema.one_of, value);
      if (count == 0) {
        AddCombination(path, "must validate one and only one schema (oneOf). Found none valid");
      } else if (count > 1) {
        AddCombination(path,
                       fmt::format("must validate one and only one schema (oneOf). Found {} valid "
                                   "alternatives",
                                   count));
      }
    }
    if (schema.not_schema && Holds(*schema.not_schema, value)) {
      AddCombination(path, "must not validate the schema (not)");
    }
  }

  static bool BreaksTransition(const Rule& rule, const Json& value, const Json& old) {
    if (rule.form == Rule::Form::kImmutable) return value != old;
    if (rule.form == Rule::Form::kImmutableOnceSet) {
      return !(old.is_string() && old.get_ref<const std::string&>().empty()) && value != old;
    }
    return value.is_object() && old.is_object() &&
           value.contains(rule.field) != old.contains(rule.field);
  }

  static bool Breaks(const Rule& rule, const Json& value, const Json* old) {
    const bool unchanged = old != nullptr && *old == value;
    switch (rule.form) {
      case Rule::Form::kImmutable:
      case Rule::Form::kImmutableOnceSet:
      case Rule::Form::kPresenceFixed:
        return old != nullptr && BreaksTransition(rule, value, *old);
      case Rule::Form::kIs:
        return !unchanged && value != *rule.operand;
      case Rule::Form::kIsNot:
        return !unchanged && value == *rule.operand;
      case Rule::Form::kSizeAtMost:
        return !unchanged && value.size() > rule.operand->get<std::size_t>();
      case Rule::Form::kNever:
        return !unchanged;
      case Rule::Form::kUnknown:
        break;
    }
    return false;
  }

  void CheckRules(const Schema& schema, const Json& value, const Json* old, const FieldPath& path) {
    for (const Rule& rule : schema.rules) {
      if (!Breaks(rule, value, old)) continue;
      const std::string& message =
          rule.message.empty() ? "failed rule: " + rule.text : rule.message;
      causes_.push_back(rule.forbidden
                            ? ForbiddenCause(path.ToString(), message)
                            : InvalidCause(path.ToString(), Quoted(TypeName(value)), message));
    }
  }

  std::vector<Cause> causes_;
  std::vector<Cause> duplicates_;
};

}  // namespace

std::vector<Cause> Validate(const Schema& schema, const Json& value, const Json* old,
                            const std::string& path) {
  Validator validator;
  validator.Check(schema, value, old, FieldPath(path));
  return validator.Take();
}

}  // namespace forkplane::crd
