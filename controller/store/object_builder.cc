#include "controller/store/object_builder.h"

#include <nlohmann/json.hpp>

#include "crd/json_members.h"

namespace forkplane::store {
namespace {

using crd::Json;

std::vector<OwnerReference> OwnersOf(const Json& metadata) {
  std::vector<OwnerReference> owners;
  const Json& list = crd::MemberOf(metadata, "ownerReferences");
  if (!list.is_array()) return owners;
  for (const Json& owner : list) {
    if (!owner.is_object()) continue;
    owners.push_back({.api_version = crd::TextOf(owner, "apiVersion"),
                      .kind = crd::TextOf(owner, "kind"),
                      .name = crd::TextOf(owner, "name"),
                      .uid = crd::TextOf(owner, "uid"),
                      .controller = crd::FlagOf(owner, "controller"),
                      .block_owner_deletion = crd::FlagOf(owner, "blockOwnerDeletion")});
  }
  return owners;
}

Meta MetaOf(const Json& metadata) {
  Meta meta{.ns = crd::TextOf(metadata, "namespace"),
            .name = crd::TextOf(metadata, "name"),
            .uid = crd::TextOf(metadata, "uid"),
            .creation_timestamp = crd::TextOf(metadata, "creationTimestamp"),
            .deletion_timestamp = crd::TextOf(metadata, "deletionTimestamp"),
            .labels = {},
            .finalizers = crd::TextsOf(metadata, "finalizers"),
            .owners = OwnersOf(metadata)};
  meta.generation = crd::IntegerOf(metadata, "generation");
  const Json& labels = crd::MemberOf(metadata, "labels");
  if (!labels.is_object()) return meta;
  for (const auto& [key, value] : labels.items()) {
    if (value.is_string()) meta.labels.emplace(key, value.get<std::string>());
  }
  return meta;
}

void AppendKey(std::string& text, const std::string& key) {
  if (text.back() != '{') text += ',';
  text += crd::DumpJson(key);
  text += ':';
}

// As DumpJson would print it with resourceVersion "" among the sorted keys. Stored objects always
// have a name, so something stands beside it, but that is not relied upon.
void AppendMetadata(std::string& text, const Json& metadata, std::size_t* offset) {
  static const std::string kRevisionKey = "resourceVersion";
  bool done = false;
  const auto append_revision = [&] {
    AppendKey(text, kRevisionKey);
    text += '"';
    *offset = text.size();
    text += '"';
    done = true;
  };
  text += '{';
  for (const auto& [key, value] : metadata.items()) {
    if (key == kRevisionKey) continue;
    if (!done && key > kRevisionKey) append_revision();
    AppendKey(text, key);
    text += crd::DumpJson(value);
  }
  if (!done) append_revision();
  text += '}';
}

std::vector<std::pair<std::string, std::string>> FieldsOf(
    const Json& json, const std::vector<std::string>& selectable_fields) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const std::string& path : selectable_fields) {
    const Json* value = crd::FindPath(json, path);
    std::string text;
    if (value != nullptr && !value->is_null()) {
      text = value->is_string() ? value->get<std::string>() : crd::DumpJson(*value);
    }
    fields.emplace_back(path, std::move(text));
  }
  return fields;
}

}  // namespace

Object BuildObject(const Json& json, const std::vector<std::string>& selectable_fields) {
  static const Json kNoMetadata = Json::object();
  Object object;
  const Json& member = crd::MemberOf(json, "metadata");
  const Json& metadata = member.is_object() ? member : kNoMetadata;
  object.meta = MetaOf(metadata);
  object.fields = FieldsOf(json, selectable_fields);
  object.api_version = crd::TextOf(json, "apiVersion");
  object.kind = crd::TextOf(json, "kind");
  object.text = "{";
  for (const auto& [key, value] : json.items()) {
    AppendKey(object.text, key);
    if (key == "metadata") {
      AppendMetadata(object.text, metadata, &object.revision_offset);
    } else {
      object.text += crd::DumpJson(value);
    }
  }
  object.text += '}';
  return object;
}

Result<Object> ParseObject(const std::string& text,
                           const std::vector<std::string>& selectable_fields) {
  ASSIGN_OR_RETURN(const Json json, crd::ParseJson(text));
  if (!json.is_object() || json.find("metadata") == json.end()) {
    return Internal("stored text is not an object");
  }
  return BuildObject(json, selectable_fields);
}

Object UnreadableObject(const ObjectKey& key, std::string why) {
  Json metadata = {{"name", key.name}};
  if (!key.ns.empty()) metadata["namespace"] = key.ns;
  Object object = BuildObject({{"metadata", std::move(metadata)}}, {});
  object.unreadable = std::move(why);
  return object;
}

std::string TextWithoutRevision(const Json& json) {
  Json copy = json;
  if (copy.contains("metadata")) copy["metadata"].erase("resourceVersion");
  return crd::DumpJson(copy);
}

}  // namespace forkplane::store
