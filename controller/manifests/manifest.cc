#include "controller/manifests/manifest.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "crd/json_members.h"
#include "crd/yaml.h"

namespace forkplane::manifests {
namespace {

using crd::Json;

constexpr std::size_t kManifestsMax = 20'000;

}  // namespace

void StripServerFields(Json& object) {
  object.erase("status");
  const auto found = object.find("metadata");
  if (found == object.end() || !found->is_object()) return;
  Json& metadata = *found;
  for (const char* field : {"uid", "resourceVersion", "generation", "creationTimestamp",
                            "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields",
                            "selfLink", "finalizers", "ownerReferences"}) {
    metadata.erase(field);
  }
  const auto annotations = metadata.find("annotations");
  if (annotations == metadata.end() || !annotations->is_object()) return;
  for (auto it = annotations->begin(); it != annotations->end();) {
    it = it.key().starts_with(kAnnotationPrefix) ? annotations->erase(it) : std::next(it);
  }
  if (annotations->empty()) metadata.erase("annotations");
}

namespace {

bool Has(const Json& document, const char* member) {
  return document.find(member) != document.end();
}

// Whose documents stand beside ours by design and are read by a tool before us.
bool IsForeign(const Json& document) {
  if (document.is_array()) return true;
  if (!document.is_object()) return false;
  if (crd::TextAt(document, "apiVersion").starts_with("kustomize.config.k8s.io/")) return true;
  return !Has(document, "kind") && !Has(document, "metadata") && !Has(document, "spec");
}

// A text that a crash or a full disk cut off ends in the middle of a line. JSON that was cut does
// not parse.
bool EndsWithoutNewline(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] == '{' || text[first] == '[') return false;
  return text.back() != '\n';
}

bool IsBlank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

class Parser {
 public:
  ParsedTree Run(const TreeScan& scan) {
    for (const ScanProblem& problem : scan.problems) {
      Refuse(problem.path.empty() ? "the directory" : problem.path, problem.message);
    }
    for (const ScannedFile& file : scan.files) ParseFile(file);
    tree_.mounts = scan.mounts;
    std::stable_sort(
        tree_.manifests.begin(), tree_.manifests.end(),
        [](const Manifest& a, const Manifest& b) { return ApplyRank(a.kind) < ApplyRank(b.kind); });
    return std::move(tree_);
  }

 private:
  void Refuse(std::string where, std::string message) {
    tree_.refused.push_back({std::move(where), "", std::move(message)});
  }

  void ParseFile(const ScannedFile& file) {
    FileFacts& facts = tree_.files[file.path];
    facts.cut = EndsWithoutNewline(file.text);
    facts.blank = IsBlank(file.text);
    Result<std::vector<crd::YamlDocument>> documents =
        crd::ParseYaml(file.text, {.bytes_max = kFileBytesMax});
    if (!documents.ok()) return Refuse(file.path, documents.error().message);
    for (const crd::YamlDocument& document : *documents) {
      const std::string where = fmt::format("{}:{}", file.path, document.line);
      if (!document.duplicates.empty()) {
        Refuse(where, "key given twice: " + document.duplicates.front());
      } else {
        ParseDocument(file, document.line, *document.value);
      }
    }
  }

  void ParseDocument(const ScannedFile& file, int line, const Json& document) {
    const std::string& path = file.path;
    const std::string where = fmt::format("{}:{}", path, line);
    FileFacts& facts = tree_.files[path];
    if (IsForeign(document)) {
      facts.foreign = true;
      tree_.passed_over.push_back({where, "", "no Kubernetes object"});
      return;
    }
    if (!document.is_object()) return Refuse(where, "the document is not an object");
    const Json* items = crd::FindPath(document, "items");
    if (crd::TextAt(document, "kind").ends_with("List") && items != nullptr && items->is_array()) {
      facts.blank = facts.blank || items->empty();
      for (const Json& item : *items) ParseDocument(file, line, item);  // depth was bounded
      return;
    }
    Manifest manifest{.path = path,
                      .line = line,
                      .mount = file.mount,
                      .group = {},
                      .version = {},
                      .kind = crd::TextAt(document, "kind"),
                      .ns = crd::TextAt(document, "metadata.namespace"),
                      .name = crd::TextAt(document, "metadata.name"),
                      .object = nullptr};
    const std::string api_version = crd::TextAt(document, "apiVersion");
    const std::size_t slash = api_version.find('/');
    if (slash != std::string::npos) manifest.group = api_version.substr(0, slash);
    manifest.version = slash == std::string::npos ? api_version : api_version.substr(slash + 1);
    if (manifest.kind.empty() || manifest.version.empty() || manifest.name.empty()) {
      return Refuse(where, "apiVersion, kind and metadata.name are needed");
    }
    const Json* ns = crd::FindPath(document, "metadata.namespace");
    if (ns != nullptr && !ns->is_string() && !ns->is_null()) {
      return Refuse(where, "metadata.namespace is not a string (quote it)");
    }
    for (const char* field : {"metadata.labels", "metadata.annotations"}) {
      const Json* map = crd::FindPath(document, field);
      if (map != nullptr && !map->is_object() && !map->is_null()) {
        return Refuse(where, fmt::format("{} is not a map", field));
      }
    }
    if (tree_.manifests.size() == kManifestsMax) {
      return Refuse(where, fmt::format("more than {} objects", kManifestsMax));
    }
    ++facts.objects;
    NoteWhatIsDropped(manifest, document);
    auto object = std::make_shared<Json>(document);
    StripServerFields(*object);
    manifest.object = std::move(object);
    tree_.manifests.push_back(std::move(manifest));
  }

  void NoteWhatIsDropped(const Manifest& manifest, const Json& document) {
    for (const char* field : {"finalizers", "ownerReferences"}) {
      if (!Has(document.at("metadata"), field)) continue;
      tree_.passed_over.push_back(
          {Where(manifest), Name(manifest), fmt::format("metadata.{} is not applied", field)});
    }
  }

  ParsedTree tree_;
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
