#include "controller/manifests/take_over.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "controller/base/log.h"
#include "controller/manifests/apply_plan.h"
#include "crd/json_members.h"

namespace forkplane::manifests {
namespace {

using crd::Json;

std::optional<Record> RecordOf(const store::GroupResource& resource, const std::string& kind,
                               const store::Object& object) {
  const Result<Json> text = crd::ParseJson(object.text);
  if (!text.ok()) return std::nullopt;
  const Json& annotations = crd::MemberOf(crd::MemberOf(*text, "metadata"), "annotations");
  if (!crd::MemberOf(annotations, kLastAppliedAnnotation).is_string()) return std::nullopt;
  Record record{.key = {resource, object.meta.ns, object.meta.name},
                .kind = kind,
                .source = {},
                .uid = object.meta.uid,
                .path = crd::TextOf(annotations, kSourceAnnotation),
                .root = {},
                .last_applied = {}};
  // A damaged text counts as no document: then no field is removed. Finalizers and owners that the
  // document had are no fields of ours any more and stay on the object.
  const std::string last = crd::TextOf(annotations, kLastAppliedAnnotation);
  if (Result<Json> document = crd::ParseJson(last); document.ok()) {
    StripServerFields(*document);
    record.last_applied = crd::DumpJson(*document);
  }
  return record;
}

}  // namespace

Status TakeOver(store::ObjectStore& objects, const crd::TypeRegistry& types, RecordStore& records) {
  if (records.taken_over()) return OkStatus();
  RecordBatch batch;
  batch.taken_over = true;
  std::set<store::GroupResource> seen;  // a resource has one entry for each version
  const store::ListOptions options{.labels =
                                       store::MatchLabels({{kManagedByLabel, kManagedByValue}})};
  for (const crd::ResourceTypePtr& type : types.List()) {
    const store::GroupResource resource{type->group, type->plural};
    if (!seen.insert(resource).second) continue;
    ASSIGN_OR_RETURN(const store::ListResult list, objects.List(resource, options));
    for (const store::ObjectPtr& object : list.items) {
      auto record = RecordOf(resource, type->kind, *object);
      if (record) batch.put.push_back(*std::move(record));
    }
  }
  if (!batch.put.empty()) {
    log::Info("manifests: objects of an earlier version are on record now",
              {{"objects", batch.put.size()}});
  }
  return records.Commit(batch);
}

}  // namespace forkplane::manifests
