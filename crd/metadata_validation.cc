// metadata as k8s.io/apimachinery's api/validation judges it, text by text.
#include <nlohmann/json.hpp>

#include "crd/json_members.h"
#include "crd/object_meta.h"
#include "crd/schema.h"

namespace forkplane::crd {
namespace {

constexpr std::size_t kAnnotationBytesMax = std::size_t{256} * 1024;
constexpr std::string_view kSubdomainText =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
constexpr std::string_view kLabelText =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
constexpr std::string_view kQualifiedText =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
constexpr std::string_view kLabelValueText =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlphanumeric(char c) { return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z'); }

std::string TooManyCharacters(std::size_t max) {
  return fmt::format("must be no more than {} characters", max);
}

bool IsDnsLabel(std::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsLowerOrDigit(c) || c == '-'; });
}

bool IsDnsSubdomain(std::string_view text) {
  for (;;) {
    const auto dot = text.find('.');
    if (!IsDnsLabel(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool IsQualifiedPart(std::string_view text) {
  if (text.empty() || !IsAlphanumeric(text.front()) || !IsAlphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

std::string CheckName(std::string_view name, NameRule rule) {
  switch (rule) {
    case NameRule::kSubdomain:
      return CheckDnsSubdomain(name);
    case NameRule::kLabel:
      return CheckDnsLabel(name);
    case NameRule::kAny:
      break;
  }
  if (name == "." || name == "..") return fmt::format("may not be '{}'", name);
  for (const char c : {'/', '%'}) {
    if (name.find(c) != std::string_view::npos) return fmt::format("may not contain '{}'", c);
  }
  return {};
}

void CheckNames(const Json& metadata, NameRule rule, std::vector<Cause>& causes) {
  const std::string name = TextOf(metadata, "name");
  const std::string generate_name = TextOf(metadata, "generateName");
  if (!generate_name.empty()) {
    // Upstream checks the base as if a letter followed: "web-" is fine.
    std::string base = generate_name.substr(0, 58);
    while (base.ends_with('-') || base.ends_with('.')) base.pop_back();
    const std::string why = CheckName(base, rule);
    if (!why.empty()) {
      causes.push_back(InvalidCause("metadata.generateName", Quoted(generate_name), why));
    }
  }
  if (name.empty()) {
    if (generate_name.empty()) {
      causes.push_back(RequiredCause("metadata.name", "name or generateName is required"));
    }
    return;
  }
  const std::string why = CheckName(name, rule);
  if (!why.empty()) causes.push_back(InvalidCause("metadata.name", Quoted(name), why));
}

void CheckNamespace(const Json& metadata, bool namespaced, std::vector<Cause>& causes) {
  const std::string ns = TextOf(metadata, "namespace");
  if (!namespaced) {
    if (!ns.empty()) {
      causes.push_back(ForbiddenCause("metadata.namespace", "not allowed on this type"));
    }
    return;
  }
  if (ns.empty()) {
    causes.push_back(RequiredCause("metadata.namespace"));
    return;
  }
  const std::string why = CheckDnsLabel(ns);
  if (!why.empty()) causes.push_back(InvalidCause("metadata.namespace", Quoted(ns), why));
}

void CheckOwners(const Json& owners, std::vector<Cause>& causes) {
  std::string controller;
  for (const Json& owner : owners) {
    if (IsFull(causes)) return;
    constexpr auto kParts = std::to_array<std::pair<std::string_view, std::string_view>>(
        {{"apiVersion", "version"}, {"kind", "kind"}, {"name", "name"}, {"uid", "uid"}});
    for (const auto& [key, what] : kParts) {
      if (!TextOf(owner, key).empty()) continue;
      causes.push_back(InvalidCause(fmt::format("metadata.ownerReferences.{}", key), "\"\"",
                                    fmt::format("{} must not be empty", what)));
    }
    if (MemberOf(owner, "controller") != Json(true)) continue;
    if (!controller.empty()) {
      causes.push_back(InvalidCause(
          "metadata.ownerReferences", GoText(owners),
          fmt::format("Only one reference can have Controller set to true. Found \"true\" in "
                      "references for {} and {}",
                      controller, TextOf(owner, "name"))));
      return;
    }
    controller = TextOf(owner, "name");
  }
}

bool Has(const Json& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [text](const Json& item) {
    return item.is_string() && item.get_ref<const std::string&>() == text;
  });
}

void CheckFinalizers(const Json& finalizers, std::vector<Cause>& causes) {
  for (const Json& finalizer : finalizers) {
    if (IsFull(causes)) return;
    for (const std::string& why : CheckQualifiedName(finalizer.get_ref<const std::string&>())) {
      causes.push_back(InvalidCause("metadata.finalizers", GoText(finalizer), why));
    }
  }
  if (Has(finalizers, "orphan") && Has(finalizers, "foregroundDeletion")) {
    causes.push_back(InvalidCause("metadata.finalizers", GoText(finalizers),
                                  "finalizer foregroundDeletion and orphan cannot be both set"));
  }
}

// []string{"a", "b"}
std::string GoStrings(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + Quoted(item);
  return "[]string{" + text + "}";
}

void CheckNewFinalizers(const Json& metadata, const Json& old, std::vector<Cause>& causes) {
  if (TextOf(old, "deletionTimestamp").empty()) return;
  std::vector<std::string> added;
  for (const Json& finalizer : MemberOf(metadata, "finalizers")) {
    const auto& text = finalizer.get_ref<const std::string&>();
    if (!Has(MemberOf(old, "finalizers"), text)) added.push_back(text);
  }
  if (added.empty()) return;
  causes.push_back(ForbiddenCause("metadata.finalizers",
                                  "no new finalizers can be added if the object is being deleted, "
                                  "found new finalizers " +
                                      GoStrings(added)));
}

}  // namespace

std::string CheckDnsSubdomain(std::string_view text) {
  if (text.size() > 253) return TooManyCharacters(253);
  return IsDnsSubdomain(text) ? "" : std::string(kSubdomainText);
}

std::string CheckDnsLabel(std::string_view text) {
  if (text.size() > 63) return TooManyCharacters(63);
  return IsDnsLabel(text) ? "" : std::string(kLabelText);
}

std::vector<std::string> CheckQualifiedName(std::string_view text) {
  std::vector<std::string> why;
  std::string_view name = text;
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    const std::string_view prefix = text.substr(0, slash);
    name = text.substr(slash + 1);
    if (name.find('/') != std::string_view::npos) {
      return {
          fmt::format("a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. "
                      "'example.com/MyName')",
                      kQualifiedText)};
    }
    if (prefix.empty()) {
      why.emplace_back("prefix part must be non-empty");
    } else if (const std::string bad = CheckDnsSubdomain(prefix); !bad.empty()) {
      why.push_back("prefix part " + bad);
    }
  }
  if (name.empty()) {
    why.emplace_back("name part must be non-empty");
  } else if (name.size() > 63) {
    why.push_back("name part " + TooManyCharacters(63));
  }
  if (!IsQualifiedPart(name)) why.push_back(fmt::format("name part {}", kQualifiedText));
  return why;
}

std::string CheckLabelValue(std::string_view text) {
  if (text.size() > 63) return TooManyCharacters(63);
  return text.empty() || IsQualifiedPart(text) ? "" : std::string(kLabelValueText);
}

void ValidateLabels(const std::string& field, const Json& labels, std::vector<Cause>& causes) {
  for (const auto& [key, value] : labels.items()) {
    if (IsFull(causes)) return;
    for (const std::string& why : CheckQualifiedName(key)) {
      causes.push_back(InvalidCause(field, Quoted(key), why));
    }
    const std::string why = CheckLabelValue(value.get_ref<const std::string&>());
    if (!why.empty()) causes.push_back(InvalidCause(field, GoText(value), why));
  }
}

void ValidateAnnotations(const std::string& field, const Json& annotations,
                         std::vector<Cause>& causes) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : annotations.items()) {
    bytes += key.size() + value.get_ref<const std::string&>().size();
    std::string lower = key;
    for (char& c : lower) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    }
    if (IsFull(causes)) continue;  // the bytes are still counted
    for (const std::string& why : CheckQualifiedName(lower)) {
      causes.push_back(InvalidCause(field, Quoted(key), why));
    }
  }
  if (bytes > kAnnotationBytesMax) {
    causes.push_back({"FieldValueTooLong", field,
                      fmt::format("Too long: may not be more than {} bytes", kAnnotationBytesMax)});
  }
}

std::vector<Cause> ValidateMetadata(const Json& metadata, bool namespaced, NameRule rule) {
  std::vector<Cause> causes;
  CheckNames(metadata, rule, causes);
  CheckNamespace(metadata, namespaced, causes);
  ValidateLabels("metadata.labels", MemberOf(metadata, "labels"), causes);
  ValidateAnnotations("metadata.annotations", MemberOf(metadata, "annotations"), causes);
  CheckOwners(MemberOf(metadata, "ownerReferences"), causes);
  CheckFinalizers(MemberOf(metadata, "finalizers"), causes);
  return causes;
}

std::vector<Cause> ValidateMetadataUpdate(const Json& metadata, const Json& old) {
  std::vector<Cause> causes;
  constexpr auto kFixed = std::to_array<std::string_view>(
      {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"});
  for (const std::string_view key : kFixed) {
    if (TextOf(metadata, key) == TextOf(old, key)) continue;
    causes.push_back(InvalidCause(fmt::format("metadata.{}", key), Quoted(TextOf(metadata, key)),
                                  "field is immutable"));
  }
  CheckNewFinalizers(metadata, old, causes);
  return causes;
}

}  // namespace forkplane::crd
