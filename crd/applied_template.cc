#include "crd/applied_template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "crd/json.h"
#include "crd/json_members.h"
#include "crd/well_known.h"

namespace forkplane::crd {
namespace {

constexpr std::string_view kOurs = "forkplane.dev/";

std::vector<std::string> KeysOf(const StringMap& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) {
    if (!key.starts_with(kOurs)) keys.push_back(key);
  }
  return keys;
}

void Bring(const StringMap& wanted, const std::vector<std::string>& before, StringMap& map) {
  for (const std::string& key : before) {
    if (!key.starts_with(kOurs) && !wanted.contains(key)) map.erase(key);
  }
  for (const auto& [key, value] : wanted) {
    if (!key.starts_with(kOurs)) map[key] = value;
  }
}

}  // namespace

std::optional<AppliedTemplate> AppliedTo(const ObjectMeta& child) {
  const auto found = child.annotations.find(std::string(kAppliedTemplateAnnotation));
  if (found == child.annotations.end()) return std::nullopt;
  const Result<Json> json = ParseJson(found->second);
  if (!json.ok()) return std::nullopt;
  return AppliedTemplate{TextOf(*json, "hash"), TextsOf(*json, "labels"),
                         TextsOf(*json, "annotations"), TextOf(*json, "targetState")};
}

// FNV-1a, 64 bits: stable across builds, and no secret is at stake.
std::string TemplateHash(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211ULL;
  }
  return fmt::format("{:016x}", hash);
}

void ApplyTemplate(const TemplateMeta& wanted, AppliedTemplate applied, ObjectMeta& child) {
  const AppliedTemplate before = AppliedTo(child).value_or(AppliedTemplate{});
  Bring(wanted.labels, before.labels, child.labels);
  Bring(wanted.annotations, before.annotations, child.annotations);
  applied.labels = KeysOf(wanted.labels);
  applied.annotations = KeysOf(wanted.annotations);
  Json json = {{"hash", applied.hash}};
  if (!applied.labels.empty()) json["labels"] = applied.labels;
  if (!applied.annotations.empty()) json["annotations"] = applied.annotations;
  if (!applied.target_state.empty()) json["targetState"] = applied.target_state;
  child.annotations[std::string(kAppliedTemplateAnnotation)] = DumpJson(json);
}

}  // namespace forkplane::crd
