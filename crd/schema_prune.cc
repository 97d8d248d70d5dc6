// Pruning and defaulting: the two passes that change an object before it is judged.
#include <nlohmann/json.hpp>

#include "crd/field_path.h"
#include "crd/schema.h"

namespace forkplane::crd {
namespace {

constexpr std::size_t kUnknownFieldsMax = 1000;

// The schema of a member, or nullptr when it has none.
const Schema* MemberSchema(const Schema& schema, std::string_view name) {
  const auto found = schema.properties.find(name);
  if (found != schema.properties.end()) return found->second.get();
  return schema.additional_properties.get();
}

bool IsKeptWithoutSchema(const Schema& schema, std::string_view name) {
  if (schema.preserve_unknown_fields || schema.any_additional_properties) return true;
  return schema.embedded_resource && (name == "apiVersion" || name == "kind" || name == "metadata");
}

class Pruner {
 public:
  void Walk(const Schema& schema, Json& value, const FieldPath& path) {
    if (value.is_object()) {
      WalkObject(schema, value, path);
    } else if (value.is_array() && schema.items) {
      for (std::size_t i = 0; i < value.size(); ++i) Walk(*schema.items, value[i], path.Item(i));
    }
  }

  std::vector<std::string> Take() { return std::move(unknown_); }

 private:
  void WalkObject(const Schema& schema, Json& value, const FieldPath& path) {
    // An object where the schema wants something else is left whole for validation to refuse.
    if (schema.type != Schema::Type::kObject && schema.type != Schema::Type::kAny) return;
    if (schema.int_or_string) return;
    for (auto member = value.begin(); member != value.end();) {
      const FieldPath child = path.Child(member.key());
      // A CRD's schema says "metadata: {type: object}" and means ObjectMeta.
      const bool is_metadata = schema.embedded_resource && member.key() == "metadata";
      const Schema* member_schema = is_metadata ? nullptr : MemberSchema(schema, member.key());
      if (member_schema != nullptr) {
        Walk(*member_schema, *member, child);
      } else if (!IsKeptWithoutSchema(schema, member.key())) {
        if (unknown_.size() < kUnknownFieldsMax) unknown_.push_back(child.ToString());
        member = value.erase(member);
        continue;
      }
      ++member;
    }
  }

  std::vector<std::string> unknown_;
};

// Kubernetes drops a null that the schema does not allow: with a default the default takes its
// place, without one the field counts as absent (so a required one is reported as missing).
void DropNulls(const Schema& schema, Json& object) {
  for (auto member = object.begin(); member != object.end();) {
    const Schema* member_schema = MemberSchema(schema, member.key());
    const bool drop = member->is_null() && member_schema != nullptr && !member_schema->nullable &&
                      !(member_schema->type == Schema::Type::kAny && !member_schema->int_or_string);
    member = drop ? object.erase(member) : std::next(member);
  }
}

}  // namespace

std::vector<std::string> Prune(const Schema& schema, Json& value) {
  Pruner pruner;
  pruner.Walk(schema, value, FieldPath(""));
  return pruner.Take();
}

void ApplyDefaults(const Schema& schema, Json& value) {
  if (value.is_array() && schema.items) {
    for (Json& item : value) ApplyDefaults(*schema.items, item);
    return;
  }
  if (!value.is_object()) return;
  DropNulls(schema, value);
  for (const auto& [name, property] : schema.properties) {
    if (property->default_value && !value.contains(name)) value[name] = *property->default_value;
  }
  for (auto& [name, member] : value.items()) {
    if (const Schema* member_schema = MemberSchema(schema, name)) {
      ApplyDefaults(*member_schema, member);
    }
  }
}

}  // namespace forkplane::crd
