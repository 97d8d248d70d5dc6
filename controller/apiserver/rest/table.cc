#include "controller/apiserver/rest/table.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/human_duration.h"
#include "controller/apiserver/rest/text.h"
#include "crd/json_members.h"

namespace forkplane::apiserver {

using crd::Json;
using Render = crd::PrinterColumn::Render;

namespace {

constexpr std::string_view kNameDescription =
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
    "updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

Json Definition(std::string_view name, std::string_view type, std::string_view format,
                std::string_view description, int priority) {
  return {{"name", name},
          {"type", type},
          {"format", format},
          {"description", description},
          {"priority", priority}};
}

std::string DescriptionOf(const crd::PrinterColumn& column) {
  if (!column.description.empty()) return column.description;
  return "Custom resource definition column (in JSONPath format): " + column.json_path;
}

// The value as the column's type prints it; null when it has another type (as upstream's
// tableconvertor).
Json Typed(const Json& value, std::string_view type, WallTime now) {
  if (type == "integer") {
    if (value.is_number_integer()) return value;
    if (value.is_number()) return static_cast<std::int64_t>(value.get<double>());
    return nullptr;
  }
  if (type == "number") return value.is_number() ? value : Json(nullptr);
  if (type == "boolean") return value.is_boolean() ? value : Json(nullptr);
  if (type == "date") {
    return value.is_string() ? Json(HumanAge(value.get_ref<const std::string&>(), now))
                             : Json(nullptr);
  }
  return value.is_string() ? value : Json(crd::DumpJson(value));
}

Json ReferenceText(const Json& reference) {
  return Lower(crd::TextOf(reference, "kind")) + "/" + crd::TextOf(reference, "name");
}

Json SourceText(const Json& source) {
  std::string text = crd::TextOf(source, "component");
  const std::string host = crd::TextOf(source, "host");
  if (!text.empty() && !host.empty()) text += ", ";
  return text + host;
}

}  // namespace

TableColumns::TableColumns(const crd::ResourceType& type) {
  for (const crd::PrinterColumn& definition : type.columns) {
    Column column{.definition = definition, .paths = {}};
    const bool several = definition.render == Render::kFirstOf;
    for (const std::string_view text : several
                                           ? Split(definition.json_path, '|')
                                           : std::vector<std::string_view>{definition.json_path}) {
      Result<JsonPath> path = JsonPath::Parse(text);
      if (path.ok()) column.paths.push_back(std::move(path).value());
    }
    columns_.push_back(std::move(column));
  }
}

std::string TableColumns::DefinitionsText() const {
  Json definitions = Json::array();
  definitions.push_back(Definition("Name", "string", "name", kNameDescription, 0));
  for (const Column& column : columns_) {
    const crd::PrinterColumn& definition = column.definition;
    definitions.push_back(Definition(definition.name, definition.type, definition.format,
                                     DescriptionOf(definition), definition.priority));
  }
  return crd::DumpJson(definitions);
}

Json TableColumns::Cell(const Column& column, const Json& object, WallTime now) const {
  const Json* found = nullptr;
  for (const JsonPath& path : column.paths) {
    const std::vector<const Json*> values = path.Find(object);
    if (!values.empty() && !values.front()->is_null()) {
      found = values.front();
      break;
    }
  }
  if (column.definition.render == Render::kCount) return found == nullptr ? 0 : found->size();
  if (found == nullptr) return nullptr;
  if (column.definition.render == Render::kObjectRef) return ReferenceText(*found);
  if (column.definition.render == Render::kSource) return SourceText(*found);
  return Typed(*found, column.definition.type, now);
}

std::string TableColumns::CellsText(const Json& object, WallTime now) const {
  Json cells = Json::array();
  const Json* name = crd::FindPath(object, "metadata.name");
  cells.push_back(name == nullptr ? Json(nullptr) : *name);
  for (const Column& column : columns_) cells.push_back(Cell(column, object, now));
  return crd::DumpJson(cells);
}

std::string PartialMetadataText(const Json& object, std::string_view meta_version) {
  const Json* metadata = crd::FindPath(object, "metadata");
  return fmt::format(
      R"({{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{}","metadata":{}}})",
      meta_version, metadata == nullptr ? "{}" : crd::DumpJson(*metadata));
}

}  // namespace forkplane::apiserver
