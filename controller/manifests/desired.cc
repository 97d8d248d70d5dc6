#include "controller/manifests/desired.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "crd/json_members.h"

namespace forkplane::manifests {
namespace {

constexpr const char* kDefinitionKind = "CustomResourceDefinition";
constexpr const char* kOwnGroup = "forkplane.dev";

std::string ApiVersion(const Manifest& manifest) {
  return manifest.group.empty() ? manifest.version : manifest.group + "/" + manifest.version;
}

// Edits (insert, delete, replace) between two words; both are short.
std::size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// "": nothing that is served is near.
std::string Suggestion(const Manifest& manifest, const crd::TypeRegistry& types) {
  constexpr std::size_t kWordBytesMax = 64;
  constexpr std::size_t kNear = 3;
  if (manifest.kind.size() > kWordBytesMax) return {};
  std::string best;
  std::size_t nearest = kNear;
  for (const crd::ResourceTypePtr& type : types.List()) {
    if (type->kind.size() > kWordBytesMax) continue;
    const std::size_t distance = Distance(manifest.kind, type->kind);
    if (distance >= nearest) continue;
    nearest = distance;
    best = fmt::format("; did you mean {} of {}", type->kind, type->ApiVersion());
  }
  return best;
}

// "group/kind" of every definition in the tree.
std::set<std::string> DefinedKinds(const ParsedTree& tree) {
  std::set<std::string> kinds;
  for (const Manifest& manifest : tree.manifests) {
    if (manifest.kind != kDefinitionKind) continue;
    kinds.insert(crd::TextAt(*manifest.object, "spec.group") + "/" +
                 crd::TextAt(*manifest.object, "spec.names.kind"));
  }
  return kinds;
}

bool IsBuiltInDefinition(const Manifest& manifest) {
  return manifest.kind == kDefinitionKind && manifest.name.ends_with(std::string(".") + kOwnGroup);
}

}  // namespace

Desired Understand(ParsedTree tree, const crd::TypeRegistry& types) {
  Desired desired;
  desired.refused = std::move(tree.refused);
  desired.passed_over = std::move(tree.passed_over);
  desired.files = std::move(tree.files);
  desired.mounts = std::move(tree.mounts);
  const std::set<std::string> defined = DefinedKinds(tree);
  for (Manifest& manifest : tree.manifests) {
    const std::string where = Where(manifest);
    if (IsBuiltInDefinition(manifest)) {
      desired.passed_over.push_back(
          {where, Name(manifest), "the definitions of Forkplane's own kinds are built in"});
      continue;
    }
    const crd::ResourceTypePtr type =
        types.FindKind(manifest.group, manifest.version, manifest.kind);
    if (!type) {
      const bool soon = defined.contains(manifest.group + "/" + manifest.kind);
      (soon ? desired.waiting : desired.refused)
          .push_back({where, Name(manifest),
                      fmt::format("{} has no kind {}{}", ApiVersion(manifest), manifest.kind,
                                  soon ? " yet" : Suggestion(manifest, types))});
      continue;
    }
    std::string ns;
    if (type->namespaced) ns = manifest.ns.empty() ? "default" : manifest.ns;
    const store::ObjectKey key{{type->group, type->plural}, ns, manifest.name};
    const auto [it, is_new] = desired.keys.try_emplace(key, where);
    if (!is_new) {
      desired.refused.push_back(
          {where, Name(manifest), "the object is already given in " + it->second});
      continue;
    }
    std::string replicas = type->scale ? type->scale->spec_replicas_path : "";
    desired.objects.push_back({key, std::move(manifest), std::move(replicas)});
  }
  return desired;
}

}  // namespace forkplane::manifests
