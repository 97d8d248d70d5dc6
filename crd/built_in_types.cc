// Fills a TypeRegistry from the documents embedded in the binary. Those are part of the program: an
// error in one is a bug that every test would meet, yet it is reported, not aborted on.
#include <nlohmann/json.hpp>

#include "crd/native_rules.h"
#include "crd/type_registry.h"
#include "crd/yaml.h"

namespace forkplane::crd {
namespace {

std::string Text(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool Flag(const Json& object, const std::string& key, bool otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

std::vector<std::string> Texts(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? std::vector<std::string>{}
                               : found->get<std::vector<std::string>>();
}

PrinterColumn::Render RenderOf(std::string_view text) {
  using Render = PrinterColumn::Render;
  if (text == "Count") return Render::kCount;
  if (text == "FirstOf") return Render::kFirstOf;
  if (text == "ObjectRef") return Render::kObjectRef;
  if (text == "Source") return Render::kSource;
  return Render::kPath;
}

PrinterColumn ColumnOf(const Json& json) {
  PrinterColumn column;
  column.name = Text(json, "name");
  column.type = Text(json, "type");
  column.description = Text(json, "description");
  column.json_path = Text(json, "jsonPath");
  column.render = RenderOf(Text(json, "render"));
  if (json.contains("priority")) column.priority = json["priority"].get<int>();
  return column;
}

Result<ResourceType> BuiltInOf(const Json& document) {
  ResourceType type;
  type.group = Text(document, "group");
  type.version = Text(document, "version");
  type.kind = Text(document, "kind");
  type.list_kind = type.kind + "List";
  type.plural = Text(document, "plural");
  type.short_names = Texts(document, "shortNames");
  type.categories = Texts(document, "categories");
  type.namespaced = Flag(document, "namespaced", true);
  type.built_in = true;
  type.unconditional_update = Flag(document, "unconditionalUpdate", false);
  type.has_generation = Flag(document, "generation", true);
  type.status_subresource = Flag(document, "status", false);
  type.name_rule = Text(document, "nameRule") == "Label" ? NameRule::kLabel : NameRule::kSubdomain;
  type.selectable_fields = Texts(document, "selectableFields");
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
