#include "crd/yaml.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "controller/base/foreign_text.h"
#include "crd/yaml_scalar.h"

namespace forkplane::crd {
namespace {

constexpr std::string_view kStandardTag = "tag:yaml.org,2002:";

int LineOf(const YAML::Node& node) { return node.Mark().line + 1; }

Error At(const YAML::Node& node, std::string_view what) {
  return Invalid(fmt::format("line {}: {}", LineOf(node), what));
}

// Nodes to JSON. Recursion is bounded by depth_max, work by nodes_max.
class Converter {
 public:
  explicit Converter(const YamlLimits& limits) : limits_(limits) {}

  Result<Json> Convert(const YAML::Node& node, const std::string& path, std::size_t depth) {
    if (++nodes_ > limits_.nodes_max) {
      return At(node,
                fmt::format("more than {} values after aliases are expanded", limits_.nodes_max));
    }
    if (depth > limits_.depth_max) {
      return At(node, fmt::format("nested deeper than {} levels", limits_.depth_max));
    }
    switch (node.Type()) {
      case YAML::NodeType::Map:
        return ConvertMap(node, path, depth);
      case YAML::NodeType::Sequence:
        return ConvertList(node, path, depth);
      case YAML::NodeType::Scalar:
        return ConvertScalar(node);
      case YAML::NodeType::Null:
      case YAML::NodeType::Undefined:
        break;
    }
    return Json(nullptr);
  }

  std::vector<std::string> TakeDuplicates() { return std::move(duplicates_); }

 private:
  static Result<Json> ConvertScalar(const YAML::Node& node) {
    const std::string& tag = node.Tag();
    const std::string& text = node.Scalar();
    if (tag == "!") return Json(text);  // quoted
    if (tag == "?" || tag.empty()) {
      auto value = TypePlainScalar(text);
      if (!value.ok()) return At(node, value.error().message);
      return value;
    }
    if (!tag.starts_with(kStandardTag)) {
      return At(node, fmt::format("tag {} is not supported: remove it", tag));
    }
    const std::string_view type = std::string_view(tag).substr(kStandardTag.size());
    if (type == "str") return Json(text);
    auto value = TypePlainScalar(text);
    if (!value.ok()) return At(node, value.error().message);
    const bool fits =
        (type == "int" && value->is_number_integer()) || (type == "float" && value->is_number()) ||
        (type == "bool" && value->is_boolean()) || (type == "null" && value->is_null());
    if (!fits) return At(node, fmt::format("'{}' is not a !!{}", text, type));
    return value;
  }

  static Result<std::string> ConvertKey(const YAML::Node& key) {
    if (!key.IsScalar()) return At(key, "a key must be a scalar");
    ASSIGN_OR_RETURN(const Json value, ConvertScalar(key));
    if (value.is_string()) return value.get<std::string>();
    if (value.is_null()) return At(key, "a key must not be null");
    return DumpJson(value);  // 1: -> "1", yes: -> "true", as kubectl's reader does
  }

  Result<Json> ConvertMap(const YAML::Node& node, const std::string& path, std::size_t depth) {
    Json object = Json::object();
    for (const auto& entry : node) {
      if (IsMergeKey(entry.first)) continue;
      ASSIGN_OR_RETURN(const std::string key, ConvertKey(entry.first));
      const std::string field = path.empty() ? key : path + "." + key;
      if (object.contains(key)) duplicates_.push_back(field);
      ASSIGN_OR_RETURN(Json value, Convert(entry.second, field, depth + 1));
      object[key] = std::move(value);
    }
    for (const auto& entry : node) {
      if (IsMergeKey(entry.first)) RETURN_IF_ERROR(Merge(entry.second, path, depth, object));
    }
    return object;
  }

  static bool IsMergeKey(const YAML::Node& key) {
    return key.IsScalar() && key.Tag() == "?" && key.Scalar() == "<<";
  }

  // What stands in the map itself wins over what is merged in, and earlier sources over later.
  Status Merge(const YAML::Node& source, const std::string& path, std::size_t depth, Json& object) {
    if (source.IsSequence()) {
      for (const auto& item : source) {
        if (!item.IsMap()) return At(item, "<< takes a map or a list of maps");
        RETURN_IF_ERROR(Merge(item, path, depth + 1, object));
      }
      return OkStatus();
    }
    if (!source.IsMap()) return At(source, "<< takes a map or a list of maps");
    ASSIGN_OR_RETURN(const Json merged, Convert(source, path, depth + 1));
    for (const auto& [key, value] : merged.items()) {
      if (!object.contains(key)) object[key] = value;
    }
    return OkStatus();
  }

  Result<Json> ConvertList(const YAML::Node& node, const std::string& path, std::size_t depth) {
    Json list = Json::array();
    for (const auto& item : node) {
      ASSIGN_OR_RETURN(Json value,
                       Convert(item, fmt::format("{}[{}]", path, list.size()), depth + 1));
      list.push_back(std::move(value));
    }
    return list;
  }

  const YamlLimits limits_;
  std::size_t nodes_ = 0;
  std::vector<std::string> duplicates_;
};

// The one place where yaml-cpp's exceptions end.
Result<std::vector<YAML::Node>> Load(std::string_view text) {
  try {
    return YAML::LoadAll(std::string(text));
  } catch (const YAML::Exception& e) {
    if (e.mark.is_null()) return Invalid(e.msg);
    return Invalid(fmt::format("line {}: {}", e.mark.line + 1, e.msg));
  }
}

Result<YamlDocument> ConvertDocument(const YAML::Node& node, const YamlLimits& limits) {
  try {
    Converter converter(limits);
    ASSIGN_OR_RETURN(Json value, converter.Convert(node, "", 1));
    return YamlDocument{LineOf(node), std::make_shared<const Json>(std::move(value)),
                        converter.TakeDuplicates()};
  } catch (const YAML::Exception& e) {
    return Invalid(fmt::format("line {}: {}", e.mark.line + 1, e.msg));
  }
}

}  // namespace

Result<std::vector<YamlDocument>> ParseYaml(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return Invalid(fmt::format("{} bytes: the limit is {}", text.size(), limits.bytes_max));
  }
  if (!IsUtf8(text)) return Invalid("the text is not UTF-8");
  ASSIGN_OR_RETURN(const std::vector<YAML::Node> nodes, Load(text));
  std::vector<YamlDocument> documents;
  for (const YAML::Node& node : nodes) {
    if (!node.IsDefined() || node.IsNull()) continue;
    ASSIGN_OR_RETURN(YamlDocument document, ConvertDocument(node, limits));
    documents.push_back(std::move(document));
  }
  return documents;
}

Result<Json> ParseOneYaml(std::string_view text, const YamlLimits& limits) {
  ASSIGN_OR_RETURN(const auto documents, ParseYaml(text, limits));
  if (documents.size() != 1) {
    return Invalid(fmt::format("{} documents where one is expected", documents.size()));
  }
  return Json(*documents.front().value);
}

}  // namespace forkplane::crd
