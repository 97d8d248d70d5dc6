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
  const std::string name = crd::TextOf(reference, "name");
  return Lower(crd::TextOf(reference, "kind")) + (name.empty() ? "" : "/" + name);
}

std::string_view WithoutBlanksAround(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// Who reported, of the older form of an Event, else of the newer one.
Json SourceText(const Json& event) {
  std::string component = crd::TextAt(event, "source.component");
  std::string instance = crd::TextAt(event, "source.host");
  if (component.empty()) component = crd::TextOf(event, "reportingComponent");
  if (instance.empty()) instance = crd::TextOf(event, "reportingInstance");
  return instance.empty() ? component : component + ", " + instance;
}

}  // namespace

TableColumns::TableColumns(const crd::ResourceType& type) : custom_(type.IsCustom()) {
  for (const crd::PrinterColumn& definition : type.columns) {
    Column column{.definition = definition, .paths = {}};
    const bool several = definition.render == Render::kAge || definition.render == Render::kTimes;
    if (!custom_ && definition.name == "Name") name_first_ = false;
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
  if (name_first_) {
    definitions.push_back(Definition("Name", "string", "name", kNameDescription, 0));
  }
  for (const Column& column : columns_) {
    const crd::PrinterColumn& definition = column.definition;
    definitions.push_back(Definition(definition.name, definition.type, definition.format,
                                     DescriptionOf(definition), definition.priority));
  }
  return crd::DumpJson(definitions);
}

const Json* TableColumns::First(const Column& column, const Json& object) {
  for (const JsonPath& path : column.paths) {
    const std::vector<const Json*> values = path.Find(object);
    if (!values.empty() && !values.front()->is_null()) return values.front();
  }
  return nullptr;
}

Json TableColumns::Cell(const Column& column, const Json& object, WallTime now) const {
  const Json* found = First(column, object);
  const crd::PrinterColumn& definition = column.definition;
  switch (definition.render) {
    case Render::kCount:
      return found == nullptr ? 0 : found->size();
    case Render::kTimes:
      return found != nullptr && found->is_number_integer() && *found != 0 ? *found : Json(1);
    case Render::kSource:
      return SourceText(object);
    case Render::kAge:
      return HumanAge(found != nullptr && found->is_string() ? found->get<std::string>() : "", now);
    case Render::kPath:
    case Render::kObjectRef:
    case Render::kTrimmed:
      break;
  }
  if (found == nullptr) return custom_ || definition.type != "string" ? Json(nullptr) : Json("");
  if (definition.render == Render::kObjectRef) return ReferenceText(*found);
  if (definition.render == Render::kTrimmed && found->is_string()) {
    return Json(WithoutBlanksAround(found->get_ref<const std::string&>()));
  }
  return Typed(*found, definition.type, now);
}

std::string TableColumns::CellsText(const Json& object, WallTime now) const {
  Json cells = Json::array();
  if (name_first_) {
    const Json* name = crd::FindPath(object, "metadata.name");
    cells.push_back(name == nullptr ? Json(nullptr) : *name);
  }
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
