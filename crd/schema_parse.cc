// openAPIV3Schema to Schema, refusing what is not structural (KEP-1979's rules).
#include <re2/re2.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "crd/schema.h"

namespace forkplane::crd {
namespace {

constexpr int kDepthMax = 50;
constexpr std::size_t kNodesMax = 10'000;
constexpr std::size_t kCausesMax = 50;

// Apiextensions forbids these in structural schemas.
constexpr auto kForbiddenKeywords =
    std::to_array<std::string_view>({"$ref", "definitions", "dependencies", "patternProperties",
                                     "additionalItems", "id", "$schema"});

std::optional<Schema::Type> ParseType(std::string_view text) {
  using Type = Schema::Type;
  constexpr auto kTypes = std::to_array<std::pair<std::string_view, Type>>({
      {"object", Type::kObject},
      {"array", Type::kArray},
      {"string", Type::kString},
      {"integer", Type::kInteger},
      {"number", Type::kNumber},
      {"boolean", Type::kBoolean},
  });
  for (const auto& [name, type] : kTypes) {
    if (name == text) return type;
  }
  return std::nullopt;
}

std::string TakeBetween(std::string_view text, std::string_view before, std::string_view after) {
  if (!text.starts_with(before) || !text.ends_with(after)) return {};
  return std::string(text.substr(before.size(), text.size() - before.size() - after.size()));
}

// 'text', true or false as CEL writes them; nothing for any other expression.
std::optional<Json> ReadLiteral(std::string_view text) {
  if (text == "true" || text == "false") return Json(text == "true");
  if (text.size() < 2 || !text.starts_with('\'') || !text.ends_with('\'')) return std::nullopt;
  text = text.substr(1, text.size() - 2);
  if (text.find_first_of("'\\") != std::string_view::npos) return std::nullopt;
  return Json(text);
}

std::optional<Json> ReadCount(std::string_view text) {
  std::int64_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return Json(count);
}

// Forms that judge a value without its old self.
void RecogniseValueForm(Rule& rule) {
  const std::string_view text = rule.text;
  std::optional<Json> operand;
  const auto take = [&](Rule::Form form, std::string_view prefix, const auto& read) {
    if (operand || !text.starts_with(prefix)) return;
    operand = read(text.substr(prefix.size()));
    if (operand) rule.form = form;
  };
  take(Rule::Form::kIs, "self == ", ReadLiteral);
  take(Rule::Form::kIsNot, "self != ", ReadLiteral);
  take(Rule::Form::kSizeAtMost, "size(self) <= ", ReadCount);
  take(Rule::Form::kSizeAtMost, "size(self) == 0",
       [](std::string_view rest) { return rest.empty() ? std::optional<Json>(0) : std::nullopt; });
  if (operand) rule.operand = std::make_shared<const Json>(*std::move(operand));
}

// The forms that run natively, by their text; see Rule.
void RecogniseForm(Rule& rule) {
  if (rule.text == "self == oldSelf") {
    rule.form = Rule::Form::kImmutable;
  } else if (rule.text == "oldSelf == '' || self == oldSelf") {
    rule.form = Rule::Form::kImmutableOnceSet;
  } else if (rule.text == "false") {
    rule.form = Rule::Form::kNever;
  } else if (rule.text.starts_with("has(self.")) {
    const auto at = rule.text.find(" == ");
    if (at == std::string::npos) return;
    const std::string now = TakeBetween(rule.text.substr(0, at), "has(self.", ")");
    const std::string then = TakeBetween(rule.text.substr(at + 4), "has(oldSelf.", ")");
    if (now.empty() || now != then) return;
    rule.form = Rule::Form::kPresenceFixed;
    rule.field = now;
  } else {
    RecogniseValueForm(rule);
  }
}

class SchemaParser {
 public:
  // `nested`: below allOf, anyOf, oneOf or not, where types may be left out.
  SchemaPtr Parse(const Json& json, const std::string& path, int depth, bool nested) {
    auto schema = std::make_shared<Schema>();
    if (!json.is_object()) {
      Invalidate(path, json, "must be an object");
      return schema;
    }
    if (depth > kDepthMax || ++nodes_ > kNodesMax) {
      Forbid(path,
             fmt::format("a schema may be {} levels deep and have {} nodes", kDepthMax, kNodesMax));
      return schema;
    }
    for (const std::string_view keyword : kForbiddenKeywords) {
      if (json.contains(keyword)) Forbid(path + "." + std::string(keyword), "not supported");
    }
    if (json.value("uniqueItems", Json(false)) == Json(true)) {
      Forbid(path + ".uniqueItems",
             "uniqueItems cannot be set to true since the runtime complexity "
             "becomes quadratic");
    }
    ReadFlags(json, path, *schema);
    ReadType(json, path, nested, *schema);
    ReadObject(json, path, depth, nested, *schema);
    ReadArray(json, path, depth, nested, *schema);
    ReadBounds(json, path, *schema);
    ReadString(json, path, *schema);
    ReadCombinations(json, path, depth, *schema);
    ReadRules(json, path, *schema);
    ReadDefault(json, path, *schema);
    return schema;
  }

  std::vector<Cause> TakeCauses() { return std::move(causes_); }
  std::vector<std::string> TakeWarnings() { return std::move(warnings_); }

 private:
  void Add(Cause cause) {
    if (causes_.size() < kCausesMax) causes_.push_back(std::move(cause));
  }
  void Forbid(std::string path, std::string_view why) { Add(ForbiddenCause(std::move(path), why)); }
  void Invalidate(std::string path, const Json& value, std::string_view why) {
    Add(InvalidCause(std::move(path), GoText(value), why));
  }

  bool ReadBool(const Json& json, std::string_view key, const std::string& path) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return false;
    if (!found->is_boolean()) {
      Invalidate(fmt::format("{}.{}", path, key), *found, "must be a boolean");
      return false;
    }
    return found->get<bool>();
  }

  std::string ReadText(const Json& json, std::string_view key, const std::string& path) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return {};
    if (!found->is_string()) {
      Invalidate(fmt::format("{}.{}", path, key), *found, "must be a string");
      return {};
    }
    return found->get<std::string>();
  }

  std::vector<std::string> ReadTexts(const Json& json, std::string_view key,
                                     const std::string& path) {
    std::vector<std::string> texts;
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return texts;
    const bool good = found->is_array() && std::all_of(found->begin(), found->end(),
                                                       [](auto& item) { return item.is_string(); });
    if (!good) {
      Invalidate(fmt::format("{}.{}", path, key), *found, "must be a list of strings");
      return texts;
    }
    return found->get<std::vector<std::string>>();
  }

  template <typename T>
  std::optional<T> ReadNumber(const Json& json, std::string_view key, const std::string& path) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return std::nullopt;
    const bool good = std::is_floating_point_v<T> ? found->is_number() : found->is_number_integer();
    if (!good) {
      Invalidate(fmt::format("{}.{}", path, key), *found, "must be a number");
      return std::nullopt;
    }
    return found->get<T>();
  }

  void ReadFlags(const Json& json, const std::string& path, Schema& schema) {
    schema.description = ReadText(json, "description", path);
    schema.format = ReadText(json, "format", path);
    schema.nullable = ReadBool(json, "nullable", path);
    schema.int_or_string = ReadBool(json, "x-kubernetes-int-or-string", path);
    schema.preserve_unknown_fields = ReadBool(json, "x-kubernetes-preserve-unknown-fields", path);
    schema.embedded_resource = ReadBool(json, "x-kubernetes-embedded-resource", path);
  }

  void ReadType(const Json& json, const std::string& path, bool nested, Schema& schema) {
    const std::string text = ReadText(json, "type", path);
    if (text.empty()) {
      if (!nested && !schema.int_or_string && !schema.preserve_unknown_fields) {
        Add(RequiredCause(path + ".type", "must not be empty for specified object fields"));
      }
      return;
    }
    const auto type = ParseType(text);
    if (!type) {
      Add({"FieldValueNotSupported", path + ".type",
           fmt::format("Unsupported value: {}: supported values: \"array\", \"boolean\", "
                       "\"integer\", \"number\", \"object\", \"string\"",
                       Quoted(text))});
      return;
    }
    if (schema.int_or_string) {
      Forbid(path + ".type", "must be empty if x-kubernetes-int-or-string is true");
    }
    schema.type = *type;
  }

  void ReadObject(const Json& json, const std::string& path, int depth, bool nested,
                  Schema& schema) {
    if (const auto found = json.find("properties"); found != json.end() && found->is_object()) {
      for (const auto& [name, property] : found->items()) {
        schema.properties[name] =
            Parse(property, fmt::format("{}.properties[{}]", path, name), depth + 1, nested);
      }
    }
    if (const auto found = json.find("additionalProperties"); found != json.end()) {
      if (found->is_boolean()) {
        schema.any_additional_properties = found->get<bool>();
      } else {
        schema.additional_properties =
            Parse(*found, path + ".additionalProperties", depth + 1, nested);
      }
      if (!schema.properties.empty() && *found != Json(false)) {
        Forbid(path + ".additionalProperties",
               "additionalProperties and properties are mutual exclusive");
      }
    }
    schema.required = ReadTexts(json, "required", path);
    schema.min_properties = ReadNumber<std::int64_t>(json, "minProperties", path);
    schema.max_properties = ReadNumber<std::int64_t>(json, "maxProperties", path);
  }

  void ReadArray(const Json& json, const std::string& path, int depth, bool nested,
                 Schema& schema) {
    if (const auto found = json.find("items"); found != json.end()) {
      schema.items = Parse(*found, path + ".items", depth + 1, nested);
    } else if (schema.type == Schema::Type::kArray && !nested) {
      Add(RequiredCause(path + ".items", "must be specified"));
    }
    schema.min_items = ReadNumber<std::int64_t>(json, "minItems", path);
    schema.max_items = ReadNumber<std::int64_t>(json, "maxItems", path);
    const std::string list_type = ReadText(json, "x-kubernetes-list-type", path);
    schema.list_map_keys = ReadTexts(json, "x-kubernetes-list-map-keys", path);
    if (list_type == "set") {
      schema.list_type = Schema::ListType::kSet;
    } else if (list_type == "map") {
      schema.list_type = Schema::ListType::kMap;
      CheckMapKeys(path, schema);
    } else if (!list_type.empty() && list_type != "atomic") {
      Add({"FieldValueNotSupported", path + ".x-kubernetes-list-type",
           fmt::format("Unsupported value: {}: supported values: \"atomic\", \"map\", \"set\"",
                       Quoted(list_type))});
    }
  }

  void CheckMapKeys(const std::string& path, const Schema& schema) {
    const std::string field = path + ".x-kubernetes-list-map-keys";
    if (schema.list_map_keys.empty()) {
      Add(RequiredCause(field, "must not be empty if x-kubernetes-list-type is map"));
    }
    if (!schema.items) return;
    for (const std::string& key : schema.list_map_keys) {
      const auto found = schema.items->properties.find(key);
      if (found == schema.items->properties.end()) {
        Add(InvalidCause(field, Quoted(key), "entries must all be names of item properties"));
        continue;
      }
      const auto& required = schema.items->required;
      const bool is_required = std::find(required.begin(), required.end(), key) != required.end();
      if (!is_required && !found->second->default_value) {
        Add(RequiredCause(fmt::format("{}.items.properties[{}].default", path, key),
                          "this property is in x-kubernetes-list-map-keys, so it must have a "
                          "default or be a required property"));
      }
    }
  }

  void ReadBounds(const Json& json, const std::string& path, Schema& schema) {
    schema.minimum = ReadNumber<double>(json, "minimum", path);
    schema.maximum = ReadNumber<double>(json, "maximum", path);
    schema.exclusive_minimum = ReadBool(json, "exclusiveMinimum", path);
    schema.exclusive_maximum = ReadBool(json, "exclusiveMaximum", path);
    schema.multiple_of = ReadNumber<double>(json, "multipleOf", path);
    if (schema.multiple_of && *schema.multiple_of <= 0) {
      Invalidate(path + ".multipleOf", json["multipleOf"], "must be greater than 0");
      schema.multiple_of.reset();
    }
    if (const auto found = json.find("enum"); found != json.end()) {
      if (found->is_array() && !found->empty()) {
        schema.enum_values = std::make_shared<const Json>(*found);
      } else {
        Invalidate(path + ".enum", *found, "must be a list of at least one value");
      }
    }
  }

  void ReadString(const Json& json, const std::string& path, Schema& schema) {
    schema.min_length = ReadNumber<std::int64_t>(json, "minLength", path);
    schema.max_length = ReadNumber<std::int64_t>(json, "maxLength", path);
    schema.pattern = ReadText(json, "pattern", path);
    if (schema.pattern.empty()) return;
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(std::int64_t{4} << 20);
    auto regex = std::make_shared<const re2::RE2>(schema.pattern, options);
    if (!regex->ok()) {
      Add(InvalidCause(
          path + ".pattern", Quoted(schema.pattern),
          fmt::format("must be a valid regular expression, but isn't: {}", regex->error())));
      return;
    }
    schema.regex = std::move(regex);
  }

  std::vector<SchemaPtr> ReadSchemas(const Json& json, std::string_view key,
                                     const std::string& path, int depth) {
    std::vector<SchemaPtr> schemas;
    const auto found = json.find(key);
    if (found == json.end() || !found->is_array()) return schemas;
    for (const Json& part : *found) {
      schemas.push_back(
          Parse(part, fmt::format("{}.{}[{}]", path, key, schemas.size()), depth + 1, true));
    }
    return schemas;
  }

  void ReadCombinations(const Json& json, const std::string& path, int depth, Schema& schema) {
    schema.all_of = ReadSchemas(json, "allOf", path, depth);
    schema.any_of = ReadSchemas(json, "anyOf", path, depth);
    schema.one_of = ReadSchemas(json, "oneOf", path, depth);
    if (const auto found = json.find("not"); found != json.end()) {
      schema.not_schema = Parse(*found, path + ".not", depth + 1, true);
    }
  }

  void ReadRules(const Json& json, const std::string& path, Schema& schema) {
    const auto found = json.find("x-kubernetes-validations");
    if (found == json.end() || !found->is_array()) return;
    for (std::size_t i = 0; i < found->size(); ++i) {
      const std::string field = fmt::format("{}.x-kubernetes-validations[{}]", path, i);
      const Json& item = (*found)[i];
      Rule rule;
      if (item.is_object()) {
        rule.text = ReadText(item, "rule", field);
        rule.message = ReadText(item, "message", field);
        rule.forbidden = ReadText(item, "reason", field) == "FieldValueForbidden";
      }
      if (rule.text.empty()) {
        Add(RequiredCause(field + ".rule", "rule is not specified"));
        continue;
      }
      RecogniseForm(rule);
      if (rule.form == Rule::Form::kUnknown) {
        warnings_.push_back(fmt::format("{}: the CEL rule {} is not enforced by this server", field,
                                        Quoted(rule.text)));
      }
      schema.rules.push_back(std::move(rule));
    }
  }

  // The default is stored with the defaults of its own fields, so that applying it once is enough.
  void ReadDefault(const Json& json, const std::string& path, Schema& schema) {
    const auto found = json.find("default");
    if (found == json.end() || (found->is_null() && !schema.nullable)) return;
    Json value = *found;
    ApplyDefaults(schema, value);
    Json pruned = value;
    for (const std::string& unknown : Prune(schema, pruned)) {
      Invalidate(path + ".default", *found, fmt::format("unknown field \"{}\"", unknown));
    }
    for (Cause& cause : Validate(schema, value, nullptr, path + ".default")) Add(std::move(cause));
    schema.default_value = std::make_shared<const Json>(std::move(value));
  }

  std::size_t nodes_ = 0;
  std::vector<Cause> causes_;
  std::vector<std::string> warnings_;
};

}  // namespace

Result<ParsedSchema> ParseSchema(const Json& openapi, const std::string& path) {
  SchemaParser parser;
  SchemaPtr schema = parser.Parse(openapi, path, 0, false);
  std::vector<Cause> causes = parser.TakeCauses();
  if (!causes.empty()) return Invalid("schema is not structural", std::move(causes));
  return ParsedSchema{std::move(schema), parser.TakeWarnings()};
}

}  // namespace forkplane::crd
