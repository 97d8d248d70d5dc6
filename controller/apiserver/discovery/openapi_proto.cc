#include "controller/apiserver/discovery/openapi_proto.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/discovery/proto_writer.h"
#include "crd/json_members.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

// Field numbers of OpenAPIv2.proto (gnostic), the part we write.
namespace document {
constexpr int kSwagger = 1, kInfo = 2, kPaths = 8, kDefinitions = 9;
}
namespace info {
constexpr int kTitle = 1, kVersion = 2;
}
namespace paths {
constexpr int kPath = 2;
}
namespace definitions {
constexpr int kAdditionalProperties = 1;
}
namespace named {  // NamedPathItem, NamedSchema, NamedAny, NamedResponseValue
constexpr int kName = 1, kValue = 2;
}
namespace operation {
constexpr int kParameters = 8, kResponses = 9, kVendorExtension = 13;
}
namespace schema {
constexpr int kRef = 1, kFormat = 2, kDescription = 4, kRequired = 19, kAdditionalProperties = 21,
              kType = 22, kItems = 23, kProperties = 25, kVendorExtension = 31;
}

ProtoWriter Named(const std::string& name, const ProtoWriter& value) {
  ProtoWriter message;
  message.AddBytes(named::kName, name);
  message.AddMessage(named::kValue, value);
  return message;
}

// Every x-... member, as NamedAny with the value in YAML (of which JSON is a part).
void AddExtensions(const Json& object, int field, ProtoWriter& out) {
  constexpr int kAnyYaml = 2;
  for (const auto& [name, value] : object.items()) {
    if (!name.starts_with("x-")) continue;
    ProtoWriter any;
    any.AddBytes(kAnyYaml, crd::DumpJson(value));
    out.AddMessage(field, Named(name, any));
  }
}

ProtoWriter EncodeSchema(const Json& json) {
  ProtoWriter out;
  if (const std::string ref = crd::TextOf(json, "$ref"); !ref.empty()) {
    out.AddBytes(schema::kRef, ref);
  }
  if (const std::string format = crd::TextOf(json, "format"); !format.empty()) {
    out.AddBytes(schema::kFormat, format);
  }
  if (const std::string text = crd::TextOf(json, "description"); !text.empty()) {
    out.AddBytes(schema::kDescription, text);
  }
  if (const auto required = json.find("required"); required != json.end() && required->is_array()) {
    for (const Json& name : *required) {
      if (name.is_string()) out.AddBytes(schema::kRequired, name.get_ref<const std::string&>());
    }
  }
  if (const auto values = json.find("additionalProperties");
      values != json.end() && values->is_object()) {
    ProtoWriter item;
    item.AddMessage(1, EncodeSchema(*values));  // AdditionalPropertiesItem.schema
    out.AddMessage(schema::kAdditionalProperties, item);
  }
  if (const std::string type = crd::TextOf(json, "type"); !type.empty()) {
    ProtoWriter item;
    item.AddBytes(1, type);  // TypeItem.value
    out.AddMessage(schema::kType, item);
  }
  if (const auto items = json.find("items"); items != json.end() && items->is_object()) {
    ProtoWriter item;
    item.AddMessage(1, EncodeSchema(*items));  // ItemsItem.schema
    out.AddMessage(schema::kItems, item);
  }
  if (const auto properties = json.find("properties");
      properties != json.end() && properties->is_object()) {
    ProtoWriter all;
    for (const auto& [name, value] : properties->items()) {
      all.AddMessage(definitions::kAdditionalProperties, Named(name, EncodeSchema(value)));
    }
    out.AddMessage(schema::kProperties, all);
  }
  AddExtensions(json, schema::kVendorExtension, out);
  return out;
}

// Parameter -> NonBodyParameter -> QueryParameterSubSchema.
ProtoWriter EncodeQueryParameter(const Json& json) {
  constexpr int kIn = 2, kName = 4, kType = 6;
  ProtoWriter query;
  query.AddBytes(kIn, "query");
  query.AddBytes(kName, crd::TextOf(json, "name"));
  query.AddBytes(kType, crd::TextOf(json, "type"));
  ProtoWriter non_body;
  non_body.AddMessage(3, query);  // NonBodyParameter.query_parameter_sub_schema
  ProtoWriter parameter;
  parameter.AddMessage(2, non_body);  // Parameter.non_body_parameter
  ProtoWriter item;
  item.AddMessage(1, parameter);  // ParametersItem.parameter
  return item;
}

ProtoWriter EncodeResponses(const Json& json) {
  ProtoWriter responses;
  for (const auto& [code, response] : json.items()) {
    ProtoWriter described;
    described.AddBytes(1, crd::TextOf(response, "description"));  // Response.description
    ProtoWriter value;
    value.AddMessage(1, described);  // ResponseValue.response
    responses.AddMessage(1, Named(code, value));
  }
  return responses;
}

ProtoWriter EncodeOperation(const Json& json) {
  ProtoWriter out;
  for (const Json& parameter : json.at("parameters")) {
    if (crd::TextOf(parameter, "in") == "query") {
      out.AddMessage(operation::kParameters, EncodeQueryParameter(parameter));
    }
  }
  out.AddMessage(operation::kResponses, EncodeResponses(json.at("responses")));
  AddExtensions(json, operation::kVendorExtension, out);
  return out;
}

ProtoWriter EncodePathItem(const Json& json) {
  static const std::map<std::string, int> methods = {
      {"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
  ProtoWriter out;
  for (const auto& [method, field] : methods) {
    const auto it = json.find(method);
    if (it != json.end()) out.AddMessage(field, EncodeOperation(*it));
  }
  return out;
}

}  // namespace

std::string EncodeOpenApiV2(const Json& swagger) {
  ProtoWriter about;
  about.AddBytes(info::kTitle, crd::TextOf(swagger.at("info"), "title"));
  about.AddBytes(info::kVersion, crd::TextOf(swagger.at("info"), "version"));
  ProtoWriter all_paths;
  for (const auto& [path, item] : swagger.at("paths").items()) {
    all_paths.AddMessage(paths::kPath, Named(path, EncodePathItem(item)));
  }
  ProtoWriter all_definitions;
  for (const auto& [name, definition] : swagger.at("definitions").items()) {
    all_definitions.AddMessage(definitions::kAdditionalProperties,
                               Named(name, EncodeSchema(definition)));
  }
  ProtoWriter out;
  out.AddBytes(document::kSwagger, "2.0");
  out.AddMessage(document::kInfo, about);
  out.AddMessage(document::kPaths, all_paths);
  out.AddMessage(document::kDefinitions, all_definitions);
  return std::move(out).Take();
}

}  // namespace forkplane::apiserver
