// The writes of LocalObjectStore: prepare against the newest state, write, and again if somebody
// was faster.
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "controller/store/local_object_store.h"
#include "controller/store/object_builder.h"
#include "controller/store/semantics.h"

namespace forkplane::store {
namespace {

using crd::Json;

Error TooBusy(const ObjectKey& key) {
  return Unavailable(fmt::format("{} \"{}\" changes too fast", ToString(key.resource), key.name));
}

// The stored state as JSON, in the version of `type` (versions differ in name only).
Result<Json> LiveJson(const crd::ResourceType& type, const Object& object) {
  ASSIGN_OR_RETURN(Json live, crd::ParseJson(object.text));
  live["apiVersion"] = type.ApiVersion();
  return live;
}

ObjectPtr Draft(const crd::ResourceType& type, const Json& json) {
  return std::make_shared<const Object>(BuildObject(json, type.selectable_fields));
}

// A dry run's object has no revision of its own: the stored one's, or none at all.
ObjectPtr DryRunObject(const crd::ResourceType& type, const Json& json, const ObjectPtr& base) {
  if (base) return AtRevision(*Draft(type, json), base->meta.revision);
  Object object = BuildObject(json, type.selectable_fields);
  object.text = TextWithoutRevision(json);
  return std::make_shared<const Object>(std::move(object));
}

// What is stored can be read again: its bytes with the longest revision, and its depth. An object
// that is too large already (by what a deletion added) may become smaller.
Status CheckStorable(const crd::ResourceType& type, const Json& json, const Object& object,
                     const ObjectPtr& base) {
  const std::size_t bytes = object.text.size() + kRevisionDigitsMax;
  const bool grows = !base || object.text.size() > base->text.size();
  if (bytes > kObjectBytesMax && grows) {
    return WithReason(
        Invalid(fmt::format("{} \"{}\": object is too large: {} bytes, the limit is {}",
                            type.GroupResource(), object.meta.name, bytes, kObjectBytesMax)),
        "RequestEntityTooLarge");
  }
  if (crd::DepthOf(json) <= kObjectDepthMax) return OkStatus();
  return BadRequestError(fmt::format("{} \"{}\": nested deeper than {} levels",
                                     type.GroupResource(), object.meta.name, kObjectDepthMax));
}

// `outcome` is a replacement or a removal.
ProposedWrite ProposeChange(const crd::ResourceType& type, const ObjectKey& key,
                            const ObjectPtr& base, const Outcome& outcome) {
  ProposedWrite write{.key = key,
                      .base = base,
                      .state = Draft(type, *outcome.json),
                      .deleted = outcome.kind == Outcome::Kind::kRemove};
  if (write.deleted) write.must_be_empty = DefinedResource(type, key.name);
  return write;
}

}  // namespace

struct LocalObjectStore::Change {
  const crd::ResourceType& type;
  ProposedWrite write;
  std::string admit;  // the text to show the gate; empty: do not ask it
};

// An error that tells of a state must not be told before that state is durable: who reads again
// would see the one before.
Error LocalObjectStore::Settled(const ObjectKey& key, Error error) {
  pipeline_->AwaitSettled(key);
  return error;
}

// Waits until `base` is durable; false when it never became so, or is not the newest any more.
bool LocalObjectStore::StillLatest(const ObjectKey& key, const ObjectPtr& base) {
  pipeline_->AwaitSettled(key);
  const ObjectPtr latest = table_.Get(key);
  return latest && latest->meta.revision >= base->meta.revision;
}

Result<std::optional<ObjectPtr>> LocalObjectStore::AdmitAndWrite(const Change& change) {
  if (options_.gate == nullptr || change.admit.empty()) return pipeline_->Write(change.write);
  const AdmissionRequest request{.operation = change.write.base
                                                  ? AdmissionRequest::Operation::kUpdate
                                                  : AdmissionRequest::Operation::kCreate,
                                 .key = change.write.key,
                                 .uid = change.write.state->meta.uid,
                                 .previous = change.write.base,
                                 .proposed = change.admit};
  RETURN_IF_ERROR(options_.gate->Admit(request));
  Result<std::optional<ObjectPtr>> written = pipeline_->Write(change.write);
  if (!written.ok() || !written->has_value()) options_.gate->Abandon(request);
  return written;
}

Result<WriteResult> LocalObjectStore::Create(const GroupResource& resource, const std::string& ns,
                                             const std::string& text, const WriteOptions& options) {
  ASSIGN_OR_RETURN(const Json body, DecodeBody(text));
  ASSIGN_OR_RETURN(const crd::ResourceTypePtr type, TypeOf(resource, body));
  const Json& metadata = body["metadata"];
  const bool generated = !metadata.contains("name") && metadata.contains("generateName");
  const int attempts = generated ? kGenerateNameAttempts : kWriteAttemptsMax;
  for (int attempt = 1;; ++attempt) {
    Result<std::optional<WriteResult>> created = TryCreate(*type, body, ns, options.dry_run);
    const bool taken = !created.ok() && created.error().code == Code::kExists && generated;
    if (attempt < attempts && (taken || (created.ok() && !created->has_value()))) continue;
    if (!created.ok()) return std::move(created).error();
    if (!created->has_value()) return TooBusy({resource, ns, "new"});
    return **std::move(created);
  }
}

Result<std::optional<WriteResult>> LocalObjectStore::TryCreate(const crd::ResourceType& type,
                                                               const Json& body,
                                                               const std::string& ns,
                                                               bool dry_run) {
  const std::string url_ns = type.namespaced ? ns : std::string();
  ASSIGN_OR_RETURN(const Json json,
                   PrepareCreate(type, body,
                                 {.ns = url_ns,
                                  .uid = NewUuid(rng_),
                                  .now = clock_.WallNow(),
                                  .name_suffix = RandomSuffix(rng_, kGenerateNameSuffix)}));
  ObjectPtr draft = Draft(type, json);
  const ObjectKey key{{type.group, type.plural}, url_ns, draft->meta.name};
  if (const ObjectPtr there = pipeline_->Latest(key)) {
    if (!there->unreadable.empty()) return UnreadableError(key, *there);
    return Settled(key, ExistsError(key.resource, key.name, there->meta.terminating()));
  }
  RETURN_IF_ERROR(CheckStorable(type, json, *draft, nullptr));
  ProposedWrite write{
      .key = key,
      .base = nullptr,
      .state = std::move(draft),
      .needs_namespace =
          type.namespaced && options_.types->FindStorage("", NamespaceResource().plural) != nullptr,
      .definition_uid = type.definition_uid,
      .definition = type.crd_name};
  if (dry_run) {
    RETURN_IF_ERROR(pipeline_->CheckOthers(write));
    return std::optional<WriteResult>({.object = DryRunObject(type, json, nullptr)});
  }
  const std::string admit = options_.gate != nullptr ? TextWithoutRevision(json) : std::string();
  ASSIGN_OR_RETURN(std::optional<ObjectPtr> written,
                   AdmitAndWrite({type, std::move(write), admit}));
  if (!written) return std::optional<WriteResult>();
  return std::optional<WriteResult>({.object = *std::move(written)});
}

Result<WriteResult> LocalObjectStore::Update(const ObjectKey& key, const std::string& text,
                                             const UpdateOptions& options) {
  ASSIGN_OR_RETURN(const Json body, DecodeBody(text));
  ASSIGN_OR_RETURN(const crd::ResourceTypePtr type, TypeOf(key.resource, body));
  for (int attempt = 0; attempt < kWriteAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(std::optional<WriteResult> updated, TryUpdate(*type, key, body, options));
    if (updated) return *std::move(updated);
  }
  return TooBusy(key);
}

Result<std::optional<WriteResult>> LocalObjectStore::TryUpdate(const crd::ResourceType& type,
                                                               const ObjectKey& key,
                                                               const Json& body,
                                                               const UpdateOptions& options) {
  const ObjectPtr base = pipeline_->Latest(key);
  if (!base) return Settled(key, NotFoundError(key.resource, key.name));
  if (!base->unreadable.empty()) return UnreadableError(key, *base);
  ASSIGN_OR_RETURN(const Json live, LiveJson(type, *base));
  return CommitUpdate(type, key, base, live, body, options);
}

Result<WriteResult> LocalObjectStore::Modify(const ObjectKey& key, const Edit& edit,
                                             const UpdateOptions& options) {
  ASSIGN_OR_RETURN(const crd::ResourceTypePtr stored, StoredType(key.resource));
  for (int attempt = 0; attempt < kWriteAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(std::optional<WriteResult> modified, TryModify(*stored, key, edit, options));
    if (modified) return *std::move(modified);
  }
  return TooBusy(key);
}

Result<std::optional<WriteResult>> LocalObjectStore::TryModify(const crd::ResourceType& stored,
                                                               const ObjectKey& key,
                                                               const Edit& edit,
                                                               const UpdateOptions& options) {
  const ObjectPtr base = pipeline_->Latest(key);
  if (!base) return Settled(key, NotFoundError(key.resource, key.name));
  if (!base->unreadable.empty()) return UnreadableError(key, *base);
  ASSIGN_OR_RETURN(Json live, LiveJson(stored, *base));
  Json body = live;
  Result<bool> wanted = edit(body);
  if (!wanted.ok()) return Settled(key, std::move(wanted).error());
  if (!*wanted) return Unchanged(key, base);
  RETURN_IF_ERROR(CheckBody(body));
  ASSIGN_OR_RETURN(const crd::ResourceTypePtr type, TypeOf(key.resource, body));
  live["apiVersion"] = type->ApiVersion();
  return CommitUpdate(*type, key, base, live, std::move(body), options);
}

// A write that changes nothing: the answer, once the state that it tells of is durable.
std::optional<WriteResult> LocalObjectStore::Unchanged(const ObjectKey& key,
                                                       const ObjectPtr& base) {
  if (!StillLatest(key, base)) return std::nullopt;
  return WriteResult{.object = base, .changed = false};
}

Result<std::optional<WriteResult>> LocalObjectStore::CommitUpdate(const crd::ResourceType& type,
                                                                  const ObjectKey& key,
                                                                  const ObjectPtr& base,
                                                                  const Json& live, Json body,
                                                                  const UpdateOptions& options) {
  Result<Outcome> outcome = PrepareUpdate(type, key, live, std::move(body), options.part);
  if (!outcome.ok()) return Settled(key, std::move(outcome).error());
  if (outcome->kind == Outcome::Kind::kSame) return Unchanged(key, base);
  const bool removed = outcome->kind == Outcome::Kind::kRemove;
  ProposedWrite write = ProposeChange(type, key, base, *outcome);
  if (!removed) RETURN_IF_ERROR(CheckStorable(type, *outcome->json, *write.state, base));
  if (options.dry_run) {
    RETURN_IF_ERROR(pipeline_->CheckOthers(write));
    return std::optional<WriteResult>(
        {.object = DryRunObject(type, *outcome->json, base), .removed = removed});
  }
  const bool ask = options_.gate != nullptr && options.part == Part::kMain && !removed;
  ASSIGN_OR_RETURN(std::optional<ObjectPtr> written,
                   AdmitAndWrite({type, std::move(write),
                                  ask ? TextWithoutRevision(*outcome->json) : std::string()}));
  if (!written) return std::optional<WriteResult>();
  return std::optional<WriteResult>({.object = *std::move(written), .removed = removed});
}

Result<DeleteResult> LocalObjectStore::Delete(const ObjectKey& key, const DeleteOptions& options) {
  ASSIGN_OR_RETURN(const crd::ResourceTypePtr type, StoredType(key.resource));
  for (int attempt = 0; attempt < kWriteAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(std::optional<DeleteResult> deleted, TryDelete(*type, key, options));
    if (deleted) return *std::move(deleted);
  }
  return TooBusy(key);
}

Result<std::optional<DeleteResult>> LocalObjectStore::TryDelete(const crd::ResourceType& type,
                                                                const ObjectKey& key,
                                                                const DeleteOptions& options) {
  const ObjectPtr base = pipeline_->Latest(key);
  if (!base) return Settled(key, NotFoundError(key.resource, key.name));
  if (!base->unreadable.empty()) return TakeAwayUnreadable(key, base, options);
  ASSIGN_OR_RETURN(Json live, crd::ParseJson(base->text));
  Result<Outcome> outcome = PrepareDelete(type, key, live, options, clock_.WallNow());
  if (!outcome.ok()) return Settled(key, std::move(outcome).error());
  const bool removed = outcome->kind == Outcome::Kind::kRemove;
  if (outcome->kind == Outcome::Kind::kSame) {
    if (!StillLatest(key, base)) return std::optional<DeleteResult>();
    return std::optional<DeleteResult>({.object = base});
  }
  if (options.dry_run) {
    return std::optional<DeleteResult>(
        {.object = DryRunObject(type, *outcome->json, base), .removed = removed});
  }
  ASSIGN_OR_RETURN(std::optional<ObjectPtr> written,
                   pipeline_->Write(ProposeChange(type, key, base, *outcome)));
  if (!written) return std::optional<DeleteResult>();
  return std::optional<DeleteResult>({.object = *std::move(written), .removed = removed});
}

Result<std::optional<DeleteResult>> LocalObjectStore::TakeAwayUnreadable(
    const ObjectKey& key, const ObjectPtr& base, const DeleteOptions& options) {
  if (!options.ignore_unreadable) return UnreadableError(key, *base);
  if (options.dry_run) return std::optional<DeleteResult>({.object = base, .removed = true});
  ASSIGN_OR_RETURN(const std::optional<ObjectPtr> written,
                   pipeline_->Write({.key = key, .base = base, .state = base, .deleted = true}));
  if (!written) return std::optional<DeleteResult>();
  log::Warn("a record that could not be read was taken away",
            {{"resource", ToString(key.resource)}, {"object", NamespacedName(key.ns, key.name)}});
  CountUnreadable(-1);
  return std::optional<DeleteResult>({.object = *written, .removed = true});
}

}  // namespace forkplane::store
