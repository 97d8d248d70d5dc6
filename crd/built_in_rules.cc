// What upstream's registry strategies do for the built-ins we serve.
#include <nlohmann/json.hpp>

#include "controller/base/base64.h"
#include "controller/base/foreign_text.h"
#include "crd/json_members.h"
#include "crd/native_rules.h"

namespace forkplane::crd {
namespace {

constexpr std::size_t kEntryBytesMax = std::size_t{1024} * 1024;  // core.MaxSecretSize

// stringData is write-only: it goes into data, where it wins, and is not stored.
void DefaultSecret(Json& secret) {
  const auto found = secret.find("stringData");
  if (found == secret.end() || !found->is_object()) return;
  Json entries = std::move(*found);
  secret.erase(found);
  Json& data = secret["data"];
  if (!data.is_object()) data = Json::object();
  for (const auto& [key, value] : entries.items()) {
    // A wrong type is put where validation will name it.
    data[key] = value.is_string() ? Json(EncodeBase64(value.get_ref<const std::string&>())) : value;
  }
}

void DefaultNamespace(Json& object) {
  Json& spec = object["spec"];
  if (spec.is_null()) spec = Json::object();
  if (spec.is_object() && !spec.contains("finalizers")) spec["finalizers"] = {"kubernetes"};
  Json& status = object["status"];
  if (status.is_null()) status = Json::object();
  if (status.is_object() && !status.contains("phase")) status["phase"] = "Active";
  Json& metadata = object["metadata"];
  if (!metadata.is_object() || !metadata.contains("name")) return;
  Json& labels = metadata["labels"];
  if (labels.is_null()) labels = Json::object();
  if (labels.is_object()) labels["kubernetes.io/metadata.name"] = metadata["name"];
}

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return text;
}

void DefaultCrd(Json& crd) {
  const auto spec = crd.find("spec");
  if (spec == crd.end() || !spec->is_object()) return;
  const auto names = spec->find("names");
  if (names == spec->end() || !names->is_object()) return;
  const std::string kind = TextAt(*names, "kind");
  if (kind.empty()) return;
  if (TextAt(*names, "listKind").empty()) (*names)["listKind"] = kind + "List";
  if (TextAt(*names, "singular").empty()) (*names)["singular"] = Lower(kind);
}

void ValidateEvent(const Json& event, const Json*, std::vector<Cause>& causes) {
  const std::string ns = TextAt(event, "metadata.namespace");
  const std::string about = TextAt(event, "involvedObject.namespace");
  // Events about cluster-scoped objects live in default.
  if (about == ns || (about.empty() && ns == "default")) return;
  causes.push_back(
      InvalidCause("involvedObject.namespace", Quoted(about), "does not match event.namespace"));
}

void CheckEntries(const Json& object, std::string_view key, std::vector<Cause>& causes) {
  const auto found = object.find(key);
  if (found == object.end()) return;
  for (const auto& [name, value] : found->items()) {
    const bool good = !name.empty() && name.size() <= 253 && name != "." && name != ".." &&
                      std::all_of(name.begin(), name.end(), [](char c) {
                        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' ||
                               c == '_' || c == '.';
                      });
    if (good) continue;
    if (IsFull(causes)) return;
    causes.push_back(InvalidCause(
        fmt::format("{}[{}]", key, CleanForeignText(name)), Quoted(name),
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
        "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
        "'[-._a-zA-Z0-9]+')"));
  }
}

// What base64 text stands for, in bytes.
std::size_t DecodedBytes(std::string_view text) {
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  return text.size() / 4 * 3 - std::min(padding, text.size() / 4 * 3);
}

// Bytes of the values below `key`; `base64`: of what they stand for.
std::size_t BytesOf(const Json& object, std::string_view key, bool base64) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_object()) return 0;
  std::size_t bytes = 0;
  for (const Json& value : *found) {
    if (!value.is_string()) continue;
    const auto& text = value.get_ref<const std::string&>();
    bytes += base64 ? DecodedBytes(text) : text.size();
  }
  return bytes;
}

// Upstream's bound on the values of a ConfigMap or Secret together; the empty brackets are how it
// names the whole object.
void CheckTotal(std::size_t bytes, std::vector<Cause>& causes) {
  if (bytes <= kEntryBytesMax) return;
  causes.push_back({"FieldValueTooLong", "[]",
                    fmt::format("Too long: may not be more than {} bytes", kEntryBytesMax)});
}

void CheckImmutable(const Json& object, const Json* old, std::vector<Cause>& causes) {
  if (old == nullptr || old->value("immutable", Json(false)) != Json(true)) return;
  for (const std::string_view key : {"immutable", "data", "binaryData"}) {
    if (object.value(std::string(key), Json()) == old->value(std::string(key), Json())) continue;
    causes.push_back(
        ForbiddenCause(std::string(key), "field is immutable when `immutable` is set"));
  }
}

void ValidateConfigMap(const Json& object, const Json* old, std::vector<Cause>& causes) {
  CheckEntries(object, "data", causes);
  CheckEntries(object, "binaryData", causes);
  CheckTotal(BytesOf(object, "data", false) + BytesOf(object, "binaryData", true), causes);
  CheckImmutable(object, old, causes);
}

void ValidateSecret(const Json& object, const Json* old, std::vector<Cause>& causes) {
  CheckEntries(object, "data", causes);
  CheckTotal(BytesOf(object, "data", true), causes);
  CheckImmutable(object, old, causes);
  if (old != nullptr && TextAt(object, "type") != TextAt(*old, "type")) {
    causes.push_back(InvalidCause("type", Quoted(TextAt(object, "type")), "field is immutable"));
  }
}

void ValidateCrd(const Json& crd, const Json* old, std::vector<Cause>& causes) {
  const auto parsed = ParseCrd(crd);
  if (!parsed.ok()) {
    const auto& wrong = parsed.error().causes;
    causes.insert(causes.end(), wrong.begin(), wrong.end());
  }
  if (old == nullptr) return;
  for (const std::string_view path :
       {"spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"}) {
    if (TextAt(crd, path) == TextAt(*old, path)) continue;
    causes.push_back(
        InvalidCause(std::string(path), Quoted(TextAt(crd, path)), "field is immutable"));
  }
}

}  // namespace

NativeValidator BuiltInValidatorOf(std::string_view kind) {
  if (kind == "Event") return ValidateEvent;
  if (kind == "ConfigMap") return ValidateConfigMap;
  if (kind == "Secret") return ValidateSecret;
  if (kind == "CustomResourceDefinition") return ValidateCrd;
  return {};
}

NativeDefaulter BuiltInDefaulterOf(std::string_view kind) {
  if (kind == "Namespace") return DefaultNamespace;
  if (kind == "Secret") return DefaultSecret;
  if (kind == "CustomResourceDefinition") return DefaultCrd;
  return {};
}

}  // namespace forkplane::crd
