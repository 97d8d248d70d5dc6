#include "controller/apiserver/discovery/discovery.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "controller/apiserver/rest/review_types.h"
#include "crd/json.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

// group -> version -> its types; groups in the registry's order (core first).
struct Group {
  std::string name;
  std::map<std::string, std::vector<crd::ResourceTypePtr>> versions;
};

std::vector<Group> GroupTypes(const crd::TypeRegistry& registry) {
  std::vector<Group> groups;
  const auto add = [&groups](const crd::ResourceTypePtr& type) {
    if (groups.empty() || groups.back().name != type->group) groups.push_back({type->group, {}});
    groups.back().versions[type->version].push_back(type);
  };
  for (const crd::ResourceTypePtr& type : registry.List()) {
    if (type->served) add(type);
  }
  for (const crd::ResourceTypePtr& review : ReviewTypes()) add(review);
  return groups;
}

bool IsReview(const crd::ResourceType& type) {
  const auto& reviews = ReviewTypes();
  return std::any_of(reviews.begin(), reviews.end(),
                     [&](const crd::ResourceTypePtr& review) { return review.get() == &type; });
}

Json SubresourceJson(const crd::ResourceType& type, const std::string& name) {
  return {{"name", type.plural + "/" + name},
          {"singularName", ""},
          {"namespaced", type.namespaced},
          {"kind", type.kind},
          {"verbs", {"get", "patch", "update"}}};
}

void AppendResource(const crd::ResourceType& type, Json& resources) {
  Json verbs = {"delete", "get", "list", "patch", "create", "update", "watch"};
  if (type.delete_collection) verbs.insert(verbs.begin() + 1, "deletecollection");
  Json item = {{"name", type.plural},
               {"singularName", type.singular},
               {"namespaced", type.namespaced},
               {"kind", type.kind},
               {"verbs", std::move(verbs)}};
  if (IsReview(type)) item["verbs"] = {"create"};
  if (!type.short_names.empty()) item["shortNames"] = type.short_names;
  if (!type.categories.empty()) item["categories"] = type.categories;
  resources.push_back(std::move(item));
  if (type.status_subresource) resources.push_back(SubresourceJson(type, "status"));
  if (type.scale) {
    Json scale = SubresourceJson(type, "scale");
    scale["group"] = "autoscaling";
    scale["version"] = "v1";
    scale["kind"] = "Scale";
    resources.push_back(std::move(scale));
  }
  if (type.group.empty() && type.plural == "namespaces") {
    Json finalize = SubresourceJson(type, "finalize");
    finalize["verbs"] = {"update"};
    resources.push_back(std::move(finalize));
  }
}

// `kubectl cluster-info` fails without the resource "services"; it exists and is always empty.
Json ServicesJson() {
  return {{"name", "services"}, {"singularName", "service"}, {"namespaced", true},
          {"kind", "Service"},  {"verbs", {"get", "list"}},  {"shortNames", {"svc"}}};
}

std::string GroupVersion(const std::string& group, const std::string& version) {
  return group.empty() ? version : group + "/" + version;
}

Json GroupJson(const Group& group) {
  std::vector<std::string> versions;
  for (const auto& [version, types] : group.versions) versions.push_back(version);
  std::sort(versions.begin(), versions.end(), VersionBefore);
  Json list = Json::array();
  for (const std::string& version : versions) {
    list.push_back({{"groupVersion", GroupVersion(group.name, version)}, {"version", version}});
  }
  return {{"name", group.name}, {"versions", list}, {"preferredVersion", list.front()}};
}

Json ResourceListJson(const Group& group, const std::string& version,
                      const std::vector<crd::ResourceTypePtr>& types) {
  Json resources = Json::array();
  for (const crd::ResourceTypePtr& type : types) AppendResource(*type, resources);
  if (group.name.empty()) resources.push_back(ServicesJson());
  return {{"kind", "APIResourceList"},
          {"apiVersion", "v1"},
          {"groupVersion", GroupVersion(group.name, version)},
          {"resources", std::move(resources)}};
}

// {major, stage, minor}: v1beta2 is {1, 1, 2}; stage 2 is stable. None: not of that form.
std::optional<std::array<int, 3>> ParseVersion(std::string_view text) {
  if (!text.starts_with('v')) return std::nullopt;
  std::array<int, 3> parsed{0, 2, 0};
  const char* const end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data() + 1, end, parsed[0]);
  if (error != std::errc{}) return std::nullopt;
  std::string_view rest(at, static_cast<std::size_t>(end - at));
  if (rest.empty()) return parsed;
  for (const auto& [word, stage] : {std::pair<std::string_view, int>{"alpha", 0}, {"beta", 1}}) {
    if (!rest.starts_with(word)) continue;
    const auto [last, bad] = std::from_chars(rest.data() + word.size(), end, parsed[2]);
    if (bad != std::errc{} || last != end) return std::nullopt;
    parsed[1] = stage;
    return parsed;
  }
  return std::nullopt;
}

}  // namespace

bool VersionBefore(const std::string& a, const std::string& b) {
  const auto left = ParseVersion(a);
  const auto right = ParseVersion(b);
  if (left.has_value() != right.has_value()) return left.has_value();
  if (!left) return a < b;
  // Stability first, then the numbers, the higher the better.
  return std::tuple((*left)[1], (*left)[0], (*left)[2]) >
         std::tuple((*right)[1], (*right)[0], (*right)[2]);
}

std::shared_ptr<const Discovery::Documents> Discovery::Current() {
  MutexLock lock(mu_);
  const std::uint64_t version = registry_.version();
  if (documents_ != nullptr && built_for_ == version) return documents_;
  Documents documents;
  const auto put = [&documents](const std::string& path, const Json& json) {
    documents[path] = std::make_shared<const std::string>(crd::DumpJson(json));
  };
  // The address list is what old clients expect to exist; they do not use it.
  put("/api", {{"kind", "APIVersions"},
               {"versions", {"v1"}},
               {"serverAddressByClientCIDRs", Json::array()}});
  Json groups = Json::array();
  for (const Group& group : GroupTypes(registry_)) {
    const std::string root = group.name.empty() ? "/api" : "/apis/" + group.name;
    if (!group.name.empty()) {
      Json json = GroupJson(group);
      groups.push_back(json);
      json["kind"] = "APIGroup";
      json["apiVersion"] = "v1";
      put(root, json);
    }
    for (const auto& [version_name, types] : group.versions) {
      put(root + "/" + version_name, ResourceListJson(group, version_name, types));
    }
  }
  put("/apis", {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}});
  documents_ = std::make_shared<const Documents>(std::move(documents));
  built_for_ = version;
  return documents_;
}

std::shared_ptr<const std::string> Discovery::Find(const std::string& path) {
  const std::shared_ptr<const Documents> documents = Current();
  const auto it = documents->find(path);
  return it == documents->end() ? nullptr : it->second;
}

std::vector<std::string> Discovery::Paths() {
  std::vector<std::string> paths;
  for (const auto& [path, text] : *Current()) paths.push_back(path);
  return paths;
}

}  // namespace forkplane::apiserver
