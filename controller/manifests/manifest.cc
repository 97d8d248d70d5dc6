#include "controller/manifests/manifest.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "crd/yaml.h"

namespace forkplane::manifests {
namespace {

using crd::Json;

constexpr std::size_t kManifestsMax = 20'000;

std::string StringAt(const Json& object, std::string_view path) {
  const Json* value = crd::FindPath(object, path);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string{};
}

// status is the loops' to write, and the rest of metadata is the server's: an object that was saved
// with `kubectl get -o yaml` can be applied.
std::shared_ptr<const Json> Desired(const Json& document) {
  auto object = std::make_shared<Json>(document);
  object->erase("status");
  Json& metadata = (*object)["metadata"];
  for (const char* field :
       {"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "managedFields", "selfLink"}) {
    metadata.erase(field);
  }
  return object;
}

class Parser {
 public:
  ParsedTree Run(const TreeScan& scan) {
    for (const ScanProblem& problem : scan.problems) {
      AddUnknown(problem.path.empty() ? "the directory" : problem.path, problem.message);
    }
    for (const ScannedFile& file : scan.files) ParseFile(file);
    std::stable_sort(
        tree_.manifests.begin(), tree_.manifests.end(),
        [](const Manifest& a, const Manifest& b) { return ApplyRank(a.kind) < ApplyRank(b.kind); });
    return std::move(tree_);
  }

 private:
  // A problem that hides which object is meant.
  void AddUnknown(std::string where, std::string message) {
    tree_.problems.push_back({std::move(where), "", std::move(message)});
    tree_.identities_known = false;
  }

  void ParseFile(const ScannedFile& file) {
    Result<std::vector<crd::YamlDocument>> documents =
        crd::ParseYaml(file.text, {.bytes_max = kFileBytesMax});
    if (!documents.ok()) return AddUnknown(file.path, documents.error().message);
    for (const crd::YamlDocument& document : *documents) {
      const std::string where = fmt::format("{}:{}", file.path, document.line);
      if (!document.duplicates.empty()) {
        tree_.problems.push_back(
            {where, "",
             "key given twice: " + document.duplicates.front() + " (the last one counts)"});
      }
      ParseDocument(file.path, document.line, *document.value);
    }
  }

  void ParseDocument(const std::string& path, int line, const Json& document) {
    const std::string where = fmt::format("{}:{}", path, line);
    if (!document.is_object()) return AddUnknown(where, "the document is not an object");
    const Json* items = crd::FindPath(document, "items");
    if (StringAt(document, "kind").ends_with("List") && items != nullptr && items->is_array()) {
      for (const Json& item : *items) ParseDocument(path, line, item);  // depth was bounded
      return;
    }
    Manifest manifest{.path = path,
                      .line = line,
                      .group = {},
                      .version = {},
                      .kind = StringAt(document, "kind"),
                      .ns = StringAt(document, "metadata.namespace"),
                      .name = StringAt(document, "metadata.name"),
                      .object = nullptr};
    const std::string api_version = StringAt(document, "apiVersion");
    const std::size_t slash = api_version.find('/');
    if (slash != std::string::npos) manifest.group = api_version.substr(0, slash);
    manifest.version = slash == std::string::npos ? api_version : api_version.substr(slash + 1);
    if (manifest.kind.empty() || manifest.version.empty() || manifest.name.empty()) {
      return AddUnknown(where, "apiVersion, kind and metadata.name are needed");
    }
    const Json* ns = crd::FindPath(document, "metadata.namespace");
    if (ns != nullptr && !ns->is_string() && !ns->is_null()) {
      return AddUnknown(where, "metadata.namespace is not a string (quote it)");
    }
    manifest.object = Desired(document);
    Keep(std::move(manifest));
  }

  // The first of two documents for one object counts: which one is written last must not depend on
  // timing.
  void Keep(Manifest manifest) {
    if (tree_.manifests.size() == kManifestsMax) {
      return AddUnknown(Where(manifest), fmt::format("more than {} objects", kManifestsMax));
    }
    const auto key = std::make_tuple(manifest.group, manifest.kind,
                                     manifest.ns.empty() ? "default" : manifest.ns, manifest.name);
    const auto [it, is_new] = places_.try_emplace(key, Where(manifest));
    if (is_new) {
      tree_.manifests.push_back(std::move(manifest));
    } else {
      tree_.problems.push_back(
          {Where(manifest), Name(manifest), "the object is already given in " + it->second});
    }
  }

  ParsedTree tree_;
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::string> places_;
};

}  // namespace

ParsedTree ParseTree(const TreeScan& scan) { return Parser().Run(scan); }

int ApplyRank(const std::string& kind) {
  static const std::map<std::string, int> kRanks = {{"CustomResourceDefinition", 0},
                                                    {"Namespace", 1},
                                                    {"ConfigMap", 2},
                                                    {"Secret", 2},
                                                    {"Host", 3},
                                                    {"Network", 4},
                                                    {"Snapshot", 6},
                                                    {"VirtualMachine", 7},
                                                    {"Fork", 8},
                                                    {"ForkSet", 9}};
  constexpr int kOthers = 5;
  const auto it = kRanks.find(kind);
  return it == kRanks.end() ? kOthers : it->second;
}

std::string Where(const Manifest& manifest) {
  return fmt::format("{}:{}", manifest.path, manifest.line);
}

std::string Name(const Manifest& manifest) {
  return manifest.kind + " " + (manifest.ns.empty() ? "" : manifest.ns + "/") + manifest.name;
}

}  // namespace forkplane::manifests
