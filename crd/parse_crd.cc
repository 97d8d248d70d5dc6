// A CustomResourceDefinition document to ResourceTypes. The document itself was pruned, defaulted
// and type-checked by the CustomResourceDefinition's own schema when it came through the API; here
// every read is defensive anyway, because the embedded and test documents do not come that way.
#include <re2/re2.h>

#include <nlohmann/json.hpp>
#include <set>

#include "crd/json_members.h"
#include "crd/resource_type.h"

namespace forkplane::crd {
namespace {

constexpr std::size_t kVersionsMax = 20;
constexpr std::size_t kColumnsMax = 100;
constexpr std::size_t kSelectableFieldsMax = 8;  // upstream's limit

class CrdParser {
 public:
  explicit CrdParser(const Json& crd) : crd_(crd), spec_(MemberOf(crd, "spec")) {}

  Result<std::vector<ResourceType>> Parse() {
    const std::string name = TextOf(MemberOf(crd_, "metadata"), "name");
    ReadNames();
    if (name != head_.plural + "." + head_.group) {
      Invalidate("metadata.name", Quoted(name), "must be spec.names.plural+\".\"+spec.group");
    }
    CheckConversion();
    ReadVersions();
    if (!causes_.empty()) {
      return InvalidObject("CustomResourceDefinition.apiextensions.k8s.io", name,
                           std::move(causes_));
    }
    return std::move(versions_);
  }

 private:
  void Invalidate(std::string field, std::string_view value, std::string_view why) {
    causes_.push_back(InvalidCause(std::move(field), value, why));
  }

  void CheckLabel(const std::string& field, const std::string& value) {
    if (value.empty()) {
      causes_.push_back(RequiredCause(field));
    } else if (const std::string why = CheckDnsLabel(value); !why.empty()) {
      Invalidate(field, Quoted(value), why);
    }
  }

  void CheckKind(const std::string& field, const std::string& value) {
    std::string lower = value;
    for (char& c : lower) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    }
    if (lower.empty()) {
      causes_.push_back(RequiredCause(field));
    } else if (const std::string why = CheckDnsLabel(lower); !why.empty()) {
      Invalidate(field, Quoted(value), "may have mixed case, but should otherwise match: " + why);
    }
  }

  void ReadNames() {
    const Json& names = MemberOf(spec_, "names");
    head_.group = TextOf(spec_, "group");
    head_.kind = TextOf(names, "kind");
    head_.plural = TextOf(names, "plural");
    head_.singular = TextOf(names, "singular");
    head_.list_kind = TextOf(names, "listKind");
    head_.short_names = TextsOf(names, "shortNames");
    head_.categories = TextsOf(names, "categories");
    head_.crd_name = head_.plural + "." + head_.group;
    if (head_.list_kind.empty()) head_.list_kind = head_.kind + "List";
    if (head_.singular.empty()) head_.singular = Lower(head_.kind);
    if (const std::string why = CheckDnsSubdomain(head_.group); !why.empty()) {
      Invalidate("spec.group", Quoted(head_.group), why);
    } else if (head_.group.find('.') == std::string::npos) {
      Invalidate("spec.group", Quoted(head_.group), "should be a domain with at least one dot");
    }
    CheckLabel("spec.names.plural", head_.plural);
    CheckLabel("spec.names.singular", head_.singular);
    CheckKind("spec.names.kind", head_.kind);
    CheckKind("spec.names.listKind", head_.list_kind);
    CheckEach("spec.names.shortNames", head_.short_names);
    CheckEach("spec.names.categories", head_.categories);
    const std::string scope = TextOf(spec_, "scope");
    head_.namespaced = scope != "Cluster";
    if (scope.empty()) {
      causes_.push_back(RequiredCause("spec.scope"));
    } else if (scope != "Cluster" && scope != "Namespaced") {
      causes_.push_back(
          {"FieldValueNotSupported", "spec.scope",
           fmt::format("Unsupported value: {}: supported values: \"Cluster\", \"Namespaced\"",
                       Quoted(scope))});
    }
  }

  static std::string Lower(std::string text) {
    for (char& c : text) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    }
    return text;
  }

  void CheckEach(const std::string& field, const std::vector<std::string>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      CheckLabel(fmt::format("{}[{}]", field, i), values[i]);
    }
  }

  void CheckConversion() {
    const std::string strategy = TextOf(MemberOf(spec_, "conversion"), "strategy");
    if (strategy.empty() || strategy == "None") return;
    causes_.push_back(ForbiddenCause("spec.conversion.strategy",
                                     "conversion webhooks are not supported by this server: use "
                                     "None"));
  }

  void ReadVersions() {
    const Json& versions = MemberOf(spec_, "versions");
    if (!versions.is_array() || versions.empty()) {
      causes_.push_back(RequiredCause("spec.versions", "must have at least one version"));
      return;
    }
    if (versions.size() > kVersionsMax) {
      causes_.push_back(ForbiddenCause(
          "spec.versions", fmt::format("at most {} versions are supported", kVersionsMax)));
      return;
    }
    std::size_t storage_versions = 0;
    std::set<std::string> names;
    for (std::size_t i = 0; i < versions.size(); ++i) {
      const std::string path = fmt::format("spec.versions[{}]", i);
      const std::string name = TextOf(versions[i], "name");
      CheckLabel(path + ".name", name);
      if (!names.insert(name).second) {
        causes_.push_back({"FieldValueDuplicate", path + ".name",
                           fmt::format("Duplicate value: {}", Quoted(name))});
      }
      if (FlagOf(versions[i], "storage")) ++storage_versions;
      ReadVersion(versions[i], path);
    }
    if (storage_versions != 1) {
      Invalidate("spec.versions", fmt::format("{} versions with storage: true", storage_versions),
                 "must have exactly one version marked as storage version");
    }
  }

  void ReadVersion(const Json& version, const std::string& path) {
    ResourceType type = head_;
    type.version = TextOf(version, "name");
    type.served = FlagOf(version, "served");
    type.storage = FlagOf(version, "storage");
    if (FlagOf(version, "deprecated")) {
      type.deprecation_warning = TextOf(version, "deprecationWarning");
      if (type.deprecation_warning.empty()) {
        type.deprecation_warning =
            fmt::format("{}/{} {} is deprecated", type.group, type.version, type.kind);
      }
    }
    ReadSchema(version, path, type);
    ReadSubresources(MemberOf(version, "subresources"), path + ".subresources", type);
    ReadColumns(MemberOf(version, "additionalPrinterColumns"), path, type);
    ReadSelectableFields(MemberOf(version, "selectableFields"), path, type);
    versions_.push_back(std::move(type));
  }

  void ReadSchema(const Json& version, const std::string& path, ResourceType& type) {
    const std::string field = path + ".schema.openAPIV3Schema";
    const Json& openapi = MemberOf(MemberOf(version, "schema"), "openAPIV3Schema");
    if (openapi.is_null()) {
      causes_.push_back(RequiredCause(field, "schemas are required"));
      return;
    }
    auto parsed = ParseSchema(openapi, field);
    if (!parsed.ok()) {
      const auto& wrong = parsed.error().causes;
      causes_.insert(causes_.end(), wrong.begin(), wrong.end());
      return;
    }
    if (parsed->schema->type != Schema::Type::kObject) {
      Invalidate(field + ".type", GoText(MemberOf(openapi, "type")), "must be object at the root");
    }
    auto root = std::make_shared<Schema>(*parsed->schema);
    root->embedded_resource = true;
    type.schema = std::move(root);
    type.openapi = std::make_shared<const Json>(openapi);
    type.warnings = std::move(parsed->warnings);
  }

  void ReadSubresources(const Json& subresources, const std::string& path, ResourceType& type) {
    type.status_subresource = MemberOf(subresources, "status").is_object();
    const Json& scale = MemberOf(subresources, "scale");
    if (!scale.is_object()) return;
    type.scale =
        ScaleSubresource{TextOf(scale, "specReplicasPath"), TextOf(scale, "statusReplicasPath"),
                         TextOf(scale, "labelSelectorPath")};
    CheckScalePath(path + ".scale.specReplicasPath", type.scale->spec_replicas_path, ".spec.");
    CheckScalePath(path + ".scale.statusReplicasPath", type.scale->status_replicas_path,
                   ".status.");
    if (!type.scale->label_selector_path.empty()) {
      CheckScalePath(path + ".scale.labelSelectorPath", type.scale->label_selector_path, ".");
    }
  }

  static bool IsSimplePath(std::string_view text) {
    static const re2::RE2 kShape(R"((\.[A-Za-z_][A-Za-z0-9_-]*)+)");
    return re2::RE2::FullMatch(text, kShape);
  }

  void CheckScalePath(std::string field, const std::string& value, std::string_view prefix) {
    if (value.empty()) {
      causes_.push_back(RequiredCause(std::move(field)));
    } else if (!IsSimplePath(value)) {
      Invalidate(std::move(field), Quoted(value), "must be a simple path as in .spec.replicas");
    } else if (!value.starts_with(prefix)) {
      Invalidate(
          std::move(field), Quoted(value),
          fmt::format("should be a json path under {}", prefix.substr(0, prefix.size() - 1)));
    }
  }

  void ReadColumns(const Json& columns, const std::string& path, ResourceType& type) {
    if (columns.is_null()) {
      type.columns.push_back(
          {.name = "Age", .type = "date", .json_path = ".metadata.creationTimestamp"});
      return;
    }
    if (columns.size() > kColumnsMax) {
      causes_.push_back(ForbiddenCause(path + ".additionalPrinterColumns",
                                       fmt::format("at most {} columns", kColumnsMax)));
      return;
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
      ReadColumn(columns[i], fmt::format("{}.additionalPrinterColumns[{}]", path, i), type);
    }
  }

  void ReadColumn(const Json& json, const std::string& path, ResourceType& type) {
    PrinterColumn column;
    column.name = TextOf(json, "name");
    column.type = TextOf(json, "type");
    column.format = TextOf(json, "format");
    column.description = TextOf(json, "description");
    column.json_path = TextOf(json, "jsonPath");
    if (const Json& priority = MemberOf(json, "priority"); priority.is_number_integer()) {
      column.priority = priority.get<int>();
    }
    if (column.name.empty()) causes_.push_back(RequiredCause(path + ".name"));
    constexpr auto kTypes =
        std::to_array<std::string_view>({"boolean", "date", "integer", "number", "string"});
    if (std::find(kTypes.begin(), kTypes.end(), column.type) == kTypes.end()) {
      Invalidate(path + ".type", Quoted(column.type),
                 "must be one of boolean,date,integer,number,string");
    }
    if (column.json_path.empty()) {
      causes_.push_back(RequiredCause(path + ".jsonPath"));
    } else if (!column.json_path.starts_with('.') && !column.json_path.starts_with('[')) {
      Invalidate(path + ".jsonPath", Quoted(column.json_path), "must start with a dot");
    }
    type.columns.push_back(std::move(column));
  }

  void ReadSelectableFields(const Json& fields, const std::string& path, ResourceType& type) {
    if (fields.size() > kSelectableFieldsMax) {
      causes_.push_back(ForbiddenCause(path + ".selectableFields",
                                       fmt::format("at most {} fields", kSelectableFieldsMax)));
      return;
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const std::string json_path = TextOf(fields[i], "jsonPath");
      if (!IsSimplePath(json_path)) {
        Invalidate(fmt::format("{}.selectableFields[{}].jsonPath", path, i), Quoted(json_path),
                   "must be a simple path as in .spec.hostName");
        continue;
      }
      type.selectable_fields.push_back(json_path.substr(1));
    }
  }

  const Json& crd_;
  const Json& spec_;
  ResourceType head_;
  std::vector<ResourceType> versions_;
  std::vector<Cause> causes_;
};

}  // namespace

Result<std::vector<ResourceType>> ParseCrd(const Json& crd) { return CrdParser(crd).Parse(); }

}  // namespace forkplane::crd
