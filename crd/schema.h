// Kubernetes structural schemas: parsed once from a CustomResourceDefinition, then used to prune,
// default and validate objects with the texts of a real kube-apiserver (kubernetes-api.md 1.8).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/json.h"

namespace re2 {
class RE2;
}

namespace forkplane::crd {

struct Schema;
using SchemaPtr = std::shared_ptr<const Schema>;

// One x-kubernetes-validations rule. CEL is not evaluated here: the forms below are recognised by
// their text and run natively; a rule of any other form is kept, not enforced, and ParseSchema
// reports it as a warning (a real kube-apiserver does enforce it).
struct Rule {
  enum class Form : std::uint8_t {
    kUnknown,
    kImmutable,         // self == oldSelf
    kImmutableOnceSet,  // oldSelf == '' || self == oldSelf
    kPresenceFixed,     // has(self.x) == has(oldSelf.x): may be neither added nor removed
    // Of these, which do not speak of oldSelf, what was stored before and is unchanged passes, as
    // it does with CRDValidationRatcheting (Kubernetes 1.30, on by default).
    kIs,          // self == 'A', self == true, self == false
    kIsNot,       // self != 'A'
    kSizeAtMost,  // size(self) <= 2, size(self) == 0
    kNever,       // false: may not be given at all
  };
  Form form = Form::kUnknown;
  std::string field;                    // of kPresenceFixed
  std::shared_ptr<const Json> operand;  // of kIs, kIsNot and kSizeAtMost
  bool forbidden = false;               // reason: FieldValueForbidden
  std::string text;
  std::string message;
};

// One node. Immutable after parsing, so it may be shared between threads.
struct Schema {
  enum class Type : std::uint8_t { kAny, kObject, kArray, kString, kInteger, kNumber, kBoolean };
  enum class ListType : std::uint8_t { kAtomic, kSet, kMap };

  Type type = Type::kAny;
  std::string description;
  std::string format;
  bool nullable = false;
  bool int_or_string = false;
  bool preserve_unknown_fields = false;
  bool embedded_resource = false;  // apiVersion, kind and metadata are known without being listed

  std::map<std::string, SchemaPtr, std::less<>> properties;
  std::vector<std::string> required;
  SchemaPtr additional_properties;         // values of a map; null: none
  bool any_additional_properties = false;  // additionalProperties: true
  std::optional<std::int64_t> min_properties, max_properties;

  SchemaPtr items;
  ListType list_type = ListType::kAtomic;
  std::vector<std::string> list_map_keys;
  std::optional<std::int64_t> min_items, max_items;

  std::optional<double> minimum, maximum, multiple_of;
  bool exclusive_minimum = false, exclusive_maximum = false;

  std::string pattern;
  std::shared_ptr<const re2::RE2> regex;
  std::optional<std::int64_t> min_length, max_length;

  std::shared_ptr<const Json> enum_values;    // an array, or null
  std::shared_ptr<const Json> default_value;  // or null
  std::vector<Rule> rules;

  std::vector<SchemaPtr> all_of, any_of, one_of;
  SchemaPtr not_schema;
};

struct ParsedSchema {
  SchemaPtr schema;
  std::vector<std::string> warnings;  // rules that are not enforced here
};

// From an openAPIV3Schema. Invalid with one Cause per offence, fields named below `path`: depth
// over 50, more than 10 000 nodes, unknown types or keywords, patterns RE2 refuses, list-map keys
// that do not exist, defaults that do not validate, properties together with additionalProperties.
Result<ParsedSchema> ParseSchema(const Json& openapi, const std::string& path);

// Drops fields the schema does not know and returns their paths ("spec.cpuz",
// "spec.interfaces[0].nam"), sorted as met. Objects under preserve-unknown-fields are kept.
std::vector<std::string> Prune(const Schema& schema, Json& value);

// Fills in absent fields that have a default, and null where the field has a default and is not
// nullable (Kubernetes drops such a null and then defaults). Nested defaults too, but never makes
// an object that nothing asked for.
void ApplyDefaults(const Schema& schema, Json& value);

// Everything the schema says about a value, in document order, at most 100 causes. `path` is the
// prefix of field names ("" for a whole object). With `old`, transition rules as well; list items
// are matched with their old selves by their map keys.
std::vector<Cause> Validate(const Schema& schema, const Json& value, const Json* old = nullptr,
                            const std::string& path = "");

// How much is said about one object. Who adds causes in a loop over what a client wrote asks first.
inline constexpr std::size_t kCausesMax = 100;
inline bool IsFull(const std::vector<Cause>& causes) { return causes.size() >= kCausesMax; }

// Causes in Kubernetes' wording; the message is without the field, which stands beside it.
Cause RequiredCause(std::string field, std::string_view detail = "");
// A value over 1 KiB is cut.
Cause InvalidCause(std::string field, std::string_view value_text, std::string_view detail);
Cause ForbiddenCause(std::string field, std::string_view detail);
// `"text"` as Go's %q prints it: for value_text above.
std::string Quoted(std::string_view text);
// A value as Go's %#v prints it: "a", 5, true, map[string]interface {}{"name":"a"}.
std::string GoText(const Json& value);

}  // namespace forkplane::crd
