// Fills a TypeRegistry from the documents embedded in the binary. Those are part of the program: an
// error in one is a bug that every test would meet, yet it is reported, not aborted on.
#include <nlohmann/json.hpp>

#include "crd/json_members.h"
#include "crd/native_rules.h"
#include "crd/type_registry.h"
#include "crd/yaml.h"

namespace forkplane::crd {
namespace {

PrinterColumn::Render RenderOf(std::string_view text) {
  using Render = PrinterColumn::Render;
  if (text == "Count") return Render::kCount;
  if (text == "Age") return Render::kAge;
  if (text == "Times") return Render::kTimes;
  if (text == "ObjectRef") return Render::kObjectRef;
  if (text == "Source") return Render::kSource;
  if (text == "Trimmed") return Render::kTrimmed;
  return Render::kPath;
}

PrinterColumn ColumnOf(const Json& json) {
  PrinterColumn column;
  column.name = TextOf(json, "name");
  column.type = TextOf(json, "type");
  column.description = TextOf(json, "description");
  column.json_path = TextOf(json, "jsonPath");
  column.render = RenderOf(TextOf(json, "render"));
  if (json.contains("priority")) column.priority = json["priority"].get<int>();
  return column;
}

// The names of our own definitions are protected: without them every object of ours would go.
Status ProtectNames(const Json& document, ResourceType& type) {
  for (std::string& name : TextsOf(document, "protectedNames")) {
    type.protected_names.insert(std::move(name));
  }
  type.protected_why = TextOf(document, "protectedWhy");
  if (type.kind != "CustomResourceDefinition") return OkStatus();
  type.protected_ownership = true;
  for (const EmbeddedFile& file : EmbeddedCrds()) {
    ASSIGN_OR_RETURN(const Json crd, ParseOneYaml(file.text));
    type.protected_names.insert(TextOf(crd["metadata"], "name"));
  }
  return OkStatus();
}

Result<ResourceType> BuiltInOf(const Json& document) {
  ResourceType type;
  type.group = TextOf(document, "group");
  type.version = TextOf(document, "version");
  type.kind = TextOf(document, "kind");
  type.list_kind = type.kind + "List";
  type.plural = TextOf(document, "plural");
  type.short_names = TextsOf(document, "shortNames");
  type.categories = TextsOf(document, "categories");
  type.namespaced = FlagOf(document, "namespaced", true);
  type.built_in = true;
  type.unconditional_update = FlagOf(document, "unconditionalUpdate", false);
  type.has_generation = FlagOf(document, "generation", true);
  type.status_subresource = FlagOf(document, "status", false);
  type.name_rule =
      TextOf(document, "nameRule") == "Label" ? NameRule::kLabel : NameRule::kSubdomain;
  type.selectable_fields = TextsOf(document, "selectableFields");
  for (const auto& [path, key] : MemberOf(document, "mergeKeys").items()) {
    type.merge_keys[path] = key.get<std::string>();
  }
  type.delete_collection = FlagOf(document, "deleteCollection", true);
  RETURN_IF_ERROR(ProtectNames(document, type));
  for (const char c : type.kind) {
    type.singular += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  for (const Json& column : document["columns"]) type.columns.push_back(ColumnOf(column));
  ASSIGN_OR_RETURN(const ParsedSchema parsed, ParseSchema(document["schema"], "schema"));
  auto root = std::make_shared<Schema>(*parsed.schema);
  root->embedded_resource = true;
  type.schema = std::move(root);
  type.openapi = std::make_shared<const Json>(document["schema"]);
  type.native_defaulter = BuiltInDefaulterOf(type.kind);
  type.native_validator = BuiltInValidatorOf(type.kind);
  return type;
}

// "virtual_machine.yaml: VirtualMachine... is invalid: spec...: Required value"
Error InFile(const EmbeddedFile& file, Error error) {
  return std::move(error).WithContext(file.name);
}

}  // namespace

Status RegisterBuiltIns(TypeRegistry& registry) {
  for (const EmbeddedFile& file : EmbeddedBuiltIns()) {
    const auto documents = ParseYaml(file.text);
    if (!documents.ok()) return InFile(file, documents.error());
    for (const YamlDocument& document : *documents) {
      auto type = BuiltInOf(*document.value);
      if (!type.ok()) return InFile(file, std::move(type).error());
      RETURN_IF_ERROR(registry.Add({std::move(type).value()}));
    }
  }
  return OkStatus();
}

Status RegisterForkplaneKinds(TypeRegistry& registry) {
  for (const EmbeddedFile& file : EmbeddedCrds()) {
    const auto document = ParseOneYaml(file.text);
    if (!document.ok()) return InFile(file, document.error());
    auto versions = ParseCrd(*document);
    if (!versions.ok()) return InFile(file, std::move(versions).error());
    for (ResourceType& type : *versions) {
      type.built_in = true;
      type.native_validator = NativeValidatorOf(type.kind);
    }
    RETURN_IF_ERROR(registry.Add(std::move(versions).value()));
  }
  return OkStatus();
}

Result<std::unique_ptr<TypeRegistry>> NewTypeRegistry() {
  auto registry = std::make_unique<TypeRegistry>();
  RETURN_IF_ERROR(RegisterBuiltIns(*registry));
  RETURN_IF_ERROR(RegisterForkplaneKinds(*registry));
  return registry;
}

}  // namespace forkplane::crd
