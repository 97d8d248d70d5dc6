#include "crd/object_meta.h"

#include <algorithm>

namespace forkplane::crd {
namespace {

std::string Join(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ",") + item;
  return text;
}

bool Matches(const LabelSelectorRequirement& requirement, const StringMap& labels) {
  const auto found = labels.find(requirement.key);
  const auto& values = requirement.values;
  const bool is_one = found != labels.end() &&
                      std::find(values.begin(), values.end(), found->second) != values.end();
  if (requirement.op == "In") return is_one;
  if (requirement.op == "NotIn") return !is_one;
  if (requirement.op == "Exists") return found != labels.end();
  return found == labels.end();  // DoesNotExist; the schema allows no other
}

std::string ToText(const LabelSelectorRequirement& requirement) {
  if (requirement.op == "In") {
    return fmt::format("{} in ({})", requirement.key, Join(requirement.values));
  }
  if (requirement.op == "NotIn") {
    return fmt::format("{} notin ({})", requirement.key, Join(requirement.values));
  }
  return requirement.op == "Exists" ? requirement.key : "!" + requirement.key;
}

}  // namespace

bool ObjectMeta::HasFinalizer(std::string_view finalizer) const {
  return std::find(finalizers.begin(), finalizers.end(), finalizer) != finalizers.end();
}

bool ObjectMeta::AddFinalizer(std::string_view finalizer) {
  if (HasFinalizer(finalizer)) return false;
  finalizers.emplace_back(finalizer);
  return true;
}

bool ObjectMeta::RemoveFinalizer(std::string_view finalizer) {
  return std::erase(finalizers, finalizer) > 0;
}

const OwnerReference* ObjectMeta::ControllerRef() const {
  const auto found = std::find_if(owner_references.begin(), owner_references.end(),
                                  [](const OwnerReference& owner) { return owner.controller; });
  return found == owner_references.end() ? nullptr : &*found;
}

bool ObjectMeta::IsOwnedBy(std::string_view owner_uid) const {
  return std::any_of(owner_references.begin(), owner_references.end(),
                     [owner_uid](const OwnerReference& owner) { return owner.uid == owner_uid; });
}

std::string ObjectMeta::Key() const { return ns.empty() ? name : ns + "/" + name; }

bool LabelSelector::Matches(const StringMap& labels) const {
  const bool all_labels =
      std::all_of(match_labels.begin(), match_labels.end(), [&labels](const auto& wanted) {
        const auto found = labels.find(wanted.first);
        return found != labels.end() && found->second == wanted.second;
      });
  return all_labels && std::all_of(match_expressions.begin(), match_expressions.end(),
                                   [&labels](const LabelSelectorRequirement& requirement) {
                                     return crd::Matches(requirement, labels);
                                   });
}

std::string LabelSelector::ToString() const {
  std::vector<std::string> parts;
  for (const auto& [key, value] : match_labels) parts.push_back(fmt::format("{}={}", key, value));
  for (const LabelSelectorRequirement& item : match_expressions) parts.push_back(ToText(item));
  return Join(parts);
}

}  // namespace forkplane::crd
