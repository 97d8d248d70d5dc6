#include "controller/manifests/applier.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "controller/manifests/three_way_merge.h"

namespace forkplane::manifests {
namespace {

using crd::Json;

// What a write of ours changed, for people: without what the server counts.
std::string WhatChanged(const Json& before, const store::Object& stored) {
  constexpr std::size_t kFieldsShown = 5;
  Result<Json> after = crd::ParseJson(stored.text);
  if (!after.ok()) return {};
  Json was = before;
  for (Json* object : {&was, &*after}) {
    object->erase("status");
    const auto metadata = object->find("metadata");
    if (metadata == object->end()) continue;
    for (const char* field : {"resourceVersion", "generation", "managedFields"}) {
      metadata->erase(field);
    }
  }
  return fmt::format("{}", fmt::join(Differences(was, *after, kFieldsShown), "; "));
}

Notice Reverted(const Manifest& manifest, const Json& before, const store::ObjectPtr& stored) {
  return {.warning = true,
          .reason = reason::kReverted,
          .message = fmt::format("put back as {} says: {}; change the file, or leave the field out "
                                 "of it, to change the object",
                                 Where(manifest), WhatChanged(before, *stored)),
          .about = stored};
}

Notice MadeAgain(const Manifest& manifest, const store::ObjectPtr& made) {
  return {.warning = true,
          .reason = reason::kReverted,
          .message = fmt::format("made again, as {} says: somebody had deleted it; take it out of "
                                 "the file to delete it",
                                 Where(manifest)),
          .about = made};
}

}  // namespace

Record Applier::RecordOf(const Wanted& wanted, const RootIdentity& root) const {
  return {.key = wanted.key,
          .kind = wanted.manifest.kind,
          .source = source_,
          .uid = {},
          .path = wanted.manifest.path,
          .line = wanted.manifest.line,
          .root = root,
          .mount = wanted.manifest.mount,
          .last_applied = {}};
}

Status Applier::RecordIntents(const Desired& desired, const RootIdentity& root) {
  RecordBatch batch;
  for (const Wanted& wanted : desired.objects) {
    if (records_.Find(wanted.key) != nullptr) continue;
    ASSIGN_OR_RETURN(const store::ObjectPtr current, objects_.Get(wanted.key));
    if (!current) batch.put.push_back(RecordOf(wanted, root));
  }
  return records_.Commit(batch);
}

ApplyReport Applier::Apply(const Desired& desired, const RootIdentity& root) {
  ApplyReport report;
  batch_ = {};
  if (const Status ready = RecordIntents(desired, root); !ready.ok()) {
    report.unwritten.push_back({"the record", "", ready.error().message});
    return report;
  }
  for (const Wanted& wanted : desired.objects) ApplyOne(wanted, root, report);
  if (const Status kept = records_.Commit(batch_); !kept.ok()) {
    report.unwritten.push_back({"the record", "", kept.error().message});
  }
  return report;
}

void Applier::ApplyOne(const Wanted& wanted, const RootIdentity& root, ApplyReport& report) {
  const Result<store::ObjectPtr> stored = Write(wanted, report);
  const Record* known = records_.Find(wanted.key);
  if (!stored.ok()) {
    const bool refused =
        stored.error().code == Code::kInvalid || stored.error().code == Code::kNotFound;
    (refused ? report.refused : report.unwritten)
        .push_back({Where(wanted.manifest), Name(wanted.manifest), stored.error().message});
    // The object was not made, so the intent to make it stands for nothing.
    if (refused && known != nullptr && known->uid.empty()) batch_.drop.push_back(wanted.key);
    return;
  }
  if (*stored == nullptr) {
    report.awaited.push_back({Where(wanted.manifest), Name(wanted.manifest),
                              "it is being deleted; made anew when it is gone"});
    return;
  }
  Record record = RecordOf(wanted, root);
  record.uid = (*stored)->meta.uid;
  record.last_applied = DocumentText(wanted);
  if (known == nullptr || !(*known == record)) batch_.put.push_back(std::move(record));
}

// An object may come or go between our look and our write.
Result<store::ObjectPtr> Applier::Write(const Wanted& wanted, ApplyReport& report) {
  constexpr int kTriesMax = 3;
  for (int i = 0; i < kTriesMax; ++i) {
    ASSIGN_OR_RETURN(const store::ObjectPtr current, objects_.Get(wanted.key));
    Result<store::ObjectPtr> written = current ? Update(wanted, report) : Create(wanted, report);
    if (written.ok()) return written;
    const Code moved = current ? Code::kNotFound : Code::kExists;
    if (written.error().code != moved) return written;
  }
  return Unavailable("it keeps coming and going");
}

Result<store::ObjectPtr> Applier::Create(const Wanted& wanted, ApplyReport& report) {
  const ApplyAction action = PlanApply(wanted, nullptr, nullptr);
  const auto* create = std::get_if<CreateObject>(&action);
  CHECK(create != nullptr);
  const Record* known = records_.Find(wanted.key);
  const bool was_there = known != nullptr && !known->uid.empty() && !known->confirmed;
  ASSIGN_OR_RETURN(const store::WriteResult made,
                   objects_.Create(wanted.key.resource, wanted.key.ns, create->text));
  ++report.created;
  if (was_there) report.notices.push_back(MadeAgain(wanted.manifest, made.object));
  return made.object;
}

Result<store::ObjectPtr> Applier::Update(const Wanted& wanted, ApplyReport& report) {
  Json before;
  ApplyAction action;
  const store::Edit edit = [&](Json& object) -> Result<bool> {
    action = PlanApply(wanted, &object, records_.Find(wanted.key));
    const auto* update = std::get_if<UpdateObject>(&action);
    if (update == nullptr) return false;
    before = std::exchange(object, *update->object);
    return true;
  };
  ASSIGN_OR_RETURN(const store::WriteResult written, objects_.Modify(wanted.key, edit));
  if (std::holds_alternative<AwaitDeletion>(action)) return store::ObjectPtr();
  const auto* update = std::get_if<UpdateObject>(&action);
  const bool changed = update != nullptr && written.changed;
  ++(changed ? report.updated : report.unchanged);
  if (changed && update->reverts) {
    report.notices.push_back(Reverted(wanted.manifest, before, written.object));
  }
  return written.object;
}

}  // namespace forkplane::manifests
