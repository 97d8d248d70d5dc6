#include "controller/apiserver/patch/strategic_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "controller/apiserver/patch/strategic_list.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

constexpr std::string_view kPatch = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kDeleteFrom = "$deleteFromPrimitiveList/";
constexpr std::string_view kSetOrder = "$setElementOrder/";

bool IsDirective(std::string_view key) {
  return key == kPatch || key == kRetainKeys || key.starts_with(kDeleteFrom) ||
         key.starts_with(kSetOrder);
}

// "delete", "replace", or "" when the object has no such directive.
std::string PatchDirective(const Json& value) {
  if (!value.is_object()) return {};
  const auto found = value.find(kPatch);
  return found == value.end() ? std::string() : found->get<std::string>();
}

const Json* Find(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// What a patch puts where nothing was: without directives, nulls and what it deletes.
Json Plain(const Json& value) {
  if (value.is_array()) {
    Json list = Json::array();
    for (const Json& item : value) {
      if (PatchDirective(item) != "delete") list.push_back(Plain(item));
    }
    return list;
  }
  if (!value.is_object()) return value;
  Json object = Json::object();
  for (const auto& [key, member] : value.items()) {
    if (IsDirective(key) || member.is_null() || PatchDirective(member) == "delete") continue;
    object[key] = Plain(member);
  }
  return object;
}

Status RetainKeys(const Json& keys, const Json& patch, Json& target) {
  std::set<std::string> kept;
  for (const Json& key : keys) kept.insert(key.get<std::string>());
  for (const auto& [key, value] : patch.items()) {
    if (IsDirective(key) || value.is_null() || kept.contains(key)) continue;
    return Invalid(fmt::format("{} does not name {:?}, which the patch sets", kRetainKeys, key));
  }
  for (auto it = target.begin(); it != target.end();) {
    it = kept.contains(it.key()) ? std::next(it) : target.erase(it);
  }
  return OkStatus();
}

class Merger {
 public:
  explicit Merger(const MergeKeys& keys) : keys_(keys) {}

  // `path` is that of the object, with a dot behind it ("" at the root).
  Status MergeObject(const std::string& path, const Json& patch, Json& target) {
    const std::string directive = PatchDirective(patch);
    if (!directive.empty()) {
      target = directive == "replace" ? Plain(patch) : Json::object();
      return OkStatus();
    }
    if (const Json* keys = Find(patch, kRetainKeys)) {
      RETURN_IF_ERROR(RetainKeys(*keys, patch, target));
    }
    for (const std::string& field : FieldsOf(patch)) {
      RETURN_IF_ERROR(MergeField(path, field, patch, target));
    }
    return OkStatus();
  }

 private:
  // What the patch says something about, be it by a directive alone.
  static std::set<std::string> FieldsOf(const Json& patch) {
    std::set<std::string> fields;
    for (const auto& [key, value] : patch.items()) {
      if (key.starts_with(kDeleteFrom)) {
        fields.insert(key.substr(kDeleteFrom.size()));
      } else if (key.starts_with(kSetOrder)) {
        fields.insert(key.substr(kSetOrder.size()));
      } else if (!IsDirective(key)) {
        fields.insert(key);
      }
    }
    return fields;
  }

  Status MergeField(const std::string& path, const std::string& field, const Json& patch,
                    Json& target) {
    const Json* value = Find(patch, field);
    const auto key = keys_.find(path + field);
    const auto there = target.find(field);
    if (value != nullptr && value->is_null()) {
      target.erase(field);
    } else if (key != keys_.end()) {
      const Json* order = Find(patch, std::string(kSetOrder) + field);
      if (value != nullptr || (order != nullptr && there != target.end())) {
        Status merged = MergeList(path + field, key->second, value, order, target[field]);
        if (!merged.ok()) return std::move(merged).error().WithContext(path + field);
      }
    } else if (value != nullptr) {
      if (there != target.end() && there->is_object() && value->is_object()) {
        return MergeObject(path + field + ".", *value, *there);
      }
      target.erase(field);
      if (PatchDirective(*value) != "delete") target[field] = Plain(*value);
    }
    const Json* gone = Find(patch, std::string(kDeleteFrom) + field);
    const auto list = target.find(field);
    if (gone != nullptr && list != target.end() && list->is_array()) DeleteFrom(*gone, *list);
    return OkStatus();
  }

  static void DeleteFrom(const Json& gone, Json& list) {
    std::set<std::string> ids;
    for (const Json& item : gone) ids.insert(crd::DumpJson(item));
    Json kept = Json::array();
    for (Json& item : list) {
      if (!ids.contains(crd::DumpJson(item))) kept.push_back(std::move(item));
    }
    list = std::move(kept);
  }

  // `value`: the patch's list, or null when it has only an order for what is there.
  Status MergeList(const std::string& path, const std::string& merge_key, const Json* value,
                   const Json* order, Json& list) {
    if (value != nullptr && !value->is_array()) {
      list = Plain(*value);  // of a wrong type, which validation names
      return OkStatus();
    }
    if (!list.is_array()) list = Json::array();
    ASSIGN_OR_RETURN(const std::vector<std::string> stored, IdentitiesOf(list, merge_key));
    std::vector<std::string> named;
    if (value != nullptr) {
      ASSIGN_OR_RETURN(named, MergeElements(path + ".", merge_key, *value, list));
    }
    std::vector<std::string> wanted = named;
    if (order != nullptr) {
      ASSIGN_OR_RETURN(wanted, IdentitiesOf(*order, merge_key));
      if (!KeepsOrder(named, wanted)) {
        return Invalid(fmt::format("the elements do not keep the order of {}", kSetOrder));
      }
    }
    ASSIGN_OR_RETURN(std::vector<std::string> ids, IdentitiesOf(list, merge_key));
    Arrange(wanted, stored, std::move(ids), list);
    return OkStatus();
  }

  // The identities that the patch puts or keeps, in its order. `path` is that of an element.
  Result<std::vector<std::string>> MergeElements(const std::string& path,
                                                 const std::string& merge_key, const Json& patch,
                                                 Json& list) {
    RETURN_IF_ERROR(DeleteElements(merge_key, patch, list));
    ASSIGN_OR_RETURN(const std::vector<std::string> there, IdentitiesOf(list, merge_key));
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < there.size(); ++i) places.try_emplace(there[i], i);
    std::vector<std::string> named;
    std::set<std::string> seen;
    for (const Json& item : patch) {
      if (!PatchDirective(item).empty()) continue;
      ASSIGN_OR_RETURN(const std::string id, IdentityOf(item, merge_key));
      if (seen.insert(id).second) named.push_back(id);
      const auto [place, added] = places.try_emplace(id, list.size());
      if (added) {
        list.push_back(Plain(item));
      } else if (item.is_object()) {
        RETURN_IF_ERROR(MergeObject(path, item, list[place->second]));
      }
    }
    return named;
  }

  // What elements with a $patch directive take away: themselves, or all that was there.
  static Status DeleteElements(const std::string& merge_key, const Json& patch, Json& list) {
    std::set<std::string> deleted;
    for (const Json& item : patch) {
      const std::string directive = PatchDirective(item);
      if (directive == "replace") list = Json::array();
      if (directive != "delete") continue;
      ASSIGN_OR_RETURN(std::string id, IdentityOf(item, merge_key));
      deleted.insert(std::move(id));
    }
    Json kept = Json::array();
    for (Json& item : list) {
      ASSIGN_OR_RETURN(const std::string id, IdentityOf(item, merge_key));
      if (!deleted.contains(id)) kept.push_back(std::move(item));
    }
    list = std::move(kept);
    return OkStatus();
  }

  const MergeKeys& keys_;
};

// A directive whose value has not the form that it needs; "" when all is well.
std::string_view WrongDirective(std::string_view key, const Json& value) {
  if (key == kPatch) {
    return value == "delete" || value == "replace" ? ""
                                                   : "it is neither \"replace\" nor \"delete\"";
  }
  if (!value.is_array()) return "it is no list";
  const bool scalars = std::none_of(value.begin(), value.end(),
                                    [](const Json& item) { return item.is_structured(); });
  const bool strings =
      std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_string(); });
  if (key == kRetainKeys && !strings) return "it is no list of strings";
  if (key.starts_with(kDeleteFrom) && !scalars) return "it is no list of scalars";
  return "";
}

}  // namespace

MergeKeys WithMetadataKeys(MergeKeys more) {
  more.try_emplace("metadata.finalizers", "");
  more.try_emplace("metadata.ownerReferences", "uid");
  return more;
}

Status CheckDirectives(const Json& patch) {
  if (patch.is_array()) {
    for (const Json& item : patch) RETURN_IF_ERROR(CheckDirectives(item));
  }
  if (!patch.is_object()) return OkStatus();
  for (const auto& [key, value] : patch.items()) {
    const std::string_view wrong = IsDirective(key) ? WrongDirective(key, value) : "";
    if (!wrong.empty()) return Invalid(fmt::format("{}: {}", key, wrong));
    RETURN_IF_ERROR(CheckDirectives(value));
  }
  return OkStatus();
}

Status StrategicMerge(const MergeKeys& keys, const Json& patch, Json& object) {
  return Merger(keys).MergeObject("", patch, object);
}

}  // namespace forkplane::apiserver
