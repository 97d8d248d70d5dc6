#include "controller/apiserver/discovery/openapi_paths.h"

#include <nlohmann/json.hpp>

namespace forkplane::apiserver {

using crd::Json;

namespace {

Json QueryParameter(std::string_view name, std::string_view type, OpenApiVersion version) {
  Json parameter = {{"name", name}, {"in", "query"}};
  if (version == OpenApiVersion::kV2) {
    parameter["type"] = type;
    parameter["uniqueItems"] = true;
  } else {
    parameter["schema"] = {{"type", type}, {"uniqueItems", true}};
  }
  return parameter;
}

Json PathParameter(std::string_view name, OpenApiVersion version) {
  Json parameter = QueryParameter(name, "string", version);
  parameter["in"] = "path";
  parameter["required"] = true;
  return parameter;
}

struct Parameter {
  std::string_view name;
  std::string_view type;
};

std::vector<Parameter> ParametersOf(std::string_view action) {
  if (action == "get") return {{"resourceVersion", "string"}};
  if (action == "post" || action == "put" || action == "patch") {
    return {{"dryRun", "string"}, {"fieldManager", "string"}, {"fieldValidation", "string"}};
  }
  std::vector<Parameter> parameters = {
      {"labelSelector", "string"},   {"fieldSelector", "string"},
      {"limit", "integer"},          {"continue", "string"},
      {"resourceVersion", "string"}, {"resourceVersionMatch", "string"},
      {"timeoutSeconds", "integer"}};
  if (action == "list") {
    parameters.push_back({"watch", "boolean"});
    parameters.push_back({"allowWatchBookmarks", "boolean"});
    parameters.push_back({"sendInitialEvents", "boolean"});
    return parameters;
  }
  std::vector<Parameter> deletion = {
      {"dryRun", "string"}, {"gracePeriodSeconds", "integer"}, {"propagationPolicy", "string"}};
  if (action == "delete") return deletion;
  parameters.insert(parameters.end(), deletion.begin(), deletion.end());
  return parameters;
}

class PathWriter {
 public:
  PathWriter(const crd::ResourceType& type, OpenApiVersion version, Json& paths)
      : type_(type), version_(version), paths_(paths) {}

  void Write() {
    const std::string root = type_.group.empty() ? "/api/" + type_.version
                                                 : "/apis/" + type_.group + "/" + type_.version;
    const std::string base =
        root + (type_.namespaced ? "/namespaces/{namespace}/" : "/") + type_.plural;
    const Json own = Schema(SchemaName(type_, type_.kind));
    const Json list = Schema(SchemaName(type_, type_.list_kind));
    const Json gvk = Gvk(type_.group, type_.version, type_.kind);
    if (type_.namespaced) Add(root + "/" + type_.plural, {{"get", "list"}}, list, gvk);
    Add(base, {{"get", "list"}}, list, gvk);
    if (type_.delete_collection) Add(base, {{"delete", "deletecollection"}}, list, gvk);
    Add(base, {{"post", "post"}}, own, gvk);
    Add(base + "/{name}",
        {{"get", "get"}, {"put", "put"}, {"patch", "patch"}, {"delete", "delete"}}, own, gvk);
    const std::vector<Verb> view = {{"get", "get"}, {"put", "put"}, {"patch", "patch"}};
    if (type_.status_subresource) Add(base + "/{name}/status", view, own, gvk);
    if (type_.scale) {
      Add(base + "/{name}/scale", view, Schema(std::string(kScaleSchema)),
          Gvk("autoscaling", "v1", "Scale"));
    }
  }

 private:
  struct Verb {
    std::string_view method;
    std::string_view action;
  };

  Json Schema(const std::string& name) const { return RefTo(name, version_); }
  static Json Gvk(const std::string& group, const std::string& version, const std::string& kind) {
    return {{"group", group}, {"version", version}, {"kind", kind}};
  }

  void Add(const std::string& path, const std::vector<Verb>& verbs, const Json& schema,
           const Json& gvk) {
    Json& item = paths_[path];
    if (!item.contains("parameters")) {
      Json parameters = Json::array();
      for (const char* name : {"namespace", "name"}) {
        if (path.find(std::string("{") + name + "}") != std::string::npos) {
          parameters.push_back(PathParameter(name, version_));
        }
      }
      parameters.push_back(QueryParameter("pretty", "string", version_));
      item["parameters"] = std::move(parameters);
    }
    for (const Verb& verb : verbs) {
      item[std::string(verb.method)] = Operation(verb, schema, gvk);
    }
  }

  Json Operation(const Verb& verb, const Json& schema, const Json& gvk) const {
    Json parameters = Json::array();
    for (const Parameter& parameter : ParametersOf(verb.action)) {
      parameters.push_back(QueryParameter(parameter.name, parameter.type, version_));
    }
    Json ok = {{"description", "OK"}};
    Json operation = {{"x-kubernetes-action", verb.action},
                      {"x-kubernetes-group-version-kind", gvk}};
    const bool has_body = verb.method == "post" || verb.method == "put" || verb.method == "patch";
    const char* const media =
        verb.method == "patch" ? "application/merge-patch+json" : "application/json";
    if (version_ == OpenApiVersion::kV3) {
      ok["content"]["application/json"]["schema"] = schema;
      if (has_body) operation["requestBody"]["content"][media]["schema"] = schema;
    } else {
      ok["schema"] = schema;
      operation["consumes"] = {media};
      operation["produces"] = {"application/json"};
      if (has_body) {
        parameters.push_back(
            {{"name", "body"}, {"in", "body"}, {"required", true}, {"schema", schema}});
      }
    }
    operation["parameters"] = std::move(parameters);
    operation["responses"] = {{verb.method == "post" ? "201" : "200", ok},
                              {"401", {{"description", "Unauthorized"}}}};
    return operation;
  }

  const crd::ResourceType& type_;
  OpenApiVersion version_;
  Json& paths_;
};

}  // namespace

void AddTypePaths(const crd::ResourceType& type, OpenApiVersion version, Json& paths) {
  PathWriter(type, version, paths).Write();
}

}  // namespace forkplane::apiserver
