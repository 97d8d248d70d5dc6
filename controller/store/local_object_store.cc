// Opening, reading and watching; local_object_writes.cc has the writes.
#include "controller/store/local_object_store.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/errors.h"
#include "controller/store/object_builder.h"

namespace forkplane::store {
namespace {

Error NoSuchResource() { return NotFound("the server could not find the requested resource"); }

std::vector<std::string> SelectableFields(const crd::TypeRegistry& types,
                                          const GroupResource& resource) {
  const crd::ResourceTypePtr type = types.FindStorage(resource.group, resource.plural);
  return type ? type->selectable_fields : std::vector<std::string>();
}

}  // namespace

LocalObjectStore::LocalObjectStore(std::unique_ptr<RevisionLog> log, Options options, Clock& clock,
                                   Rng& rng, metrics::Registry& registry)
    : log_(std::move(log)),
      options_(options),
      clock_(clock),
      rng_(rng),
      table_(clock),
      unreadable_(registry.AddGauge("forkplane_store_unreadable_records",
                                    "Objects whose stored record cannot be read.")) {}

Result<std::unique_ptr<LocalObjectStore>> LocalObjectStore::Open(std::unique_ptr<RevisionLog> log,
                                                                 Options options, Clock& clock,
                                                                 Rng& rng,
                                                                 metrics::Registry& registry) {
  CHECK(log != nullptr && options.types != nullptr);
  std::unique_ptr<LocalObjectStore> store(
      new LocalObjectStore(std::move(log), options, clock, rng, registry));
  RETURN_IF_ERROR(store->Load());
  store->StartWriting(registry);
  return store;
}

LocalObjectStore::~LocalObjectStore() { Close(); }

void LocalObjectStore::Close() {
  if (pipeline_) pipeline_->Close();
  if (hub_) hub_->CloseAll();
}

void LocalObjectStore::StartWriting(metrics::Registry& registry) {
  hub_ = std::make_unique<WatchHub>(table_, registry);
  pipeline_ = std::make_unique<WritePipeline>(*log_, table_, *hub_, clock_, registry);
}

Status LocalObjectStore::Load() {
  table_.SetFloor(0);
  std::map<ObjectKey, std::string> unreadable;
  RETURN_IF_ERROR(log_->Load([this, &unreadable](LogRecord&& record) {
    return LoadRecord(std::move(record), unreadable);
  }));
  for (const auto& [key, why] : unreadable) {
    log::Err("an object of the store cannot be read; it is not served, and its name stays taken",
             {{"resource", ToString(key.resource)},
              {"object", NamespacedName(key.ns, key.name)},
              {"why", why}});
  }
  CountUnreadable(static_cast<int>(unreadable.size()));
  table_.SetFloor(log_->compacted());
  table_.SkipTo(log_->last_revision());
  return OkStatus();
}

ObjectPtr LocalObjectStore::Read(const LogRecord& record) const {
  Result<Object> object =
      ParseObject(record.text, SelectableFields(*options_.types, record.key.resource));
  if (object.ok()) return AtRevision(*object, record.revision);
  const std::string why =
      fmt::format("record {} of the store: {}", record.revision, object.error().message);
  return AtRevision(UnreadableObject(record.key, why), record.revision);
}

// `unreadable`: by object, why its newest state cannot be read; older ones are not served.
Status LocalObjectStore::LoadRecord(LogRecord record,
                                    std::map<ObjectKey, std::string>& unreadable) {
  ObjectPtr state = Read(record);
  const ObjectPtr before = table_.Get(record.key);
  if (state->unreadable.empty() || record.deleted) {
    unreadable.erase(record.key);
  } else {
    unreadable[record.key] = state->unreadable;
  }
  if (record.revision <= log_->compacted()) {
    table_.Seed(record.key, std::move(state));
    return OkStatus();
  }
  store::Change change{.revision = record.revision,
                       .key = record.key,
                       .before = before,
                       .state = std::move(state),
                       .deleted = record.deleted};
  table_.Apply({&change, 1});
  return OkStatus();
}

void LocalObjectStore::CountUnreadable(int by) {
  unreadable_.Set(static_cast<double>(unreadable_count_ += by));
}

Status LocalObjectStore::Health() {
  RETURN_IF_ERROR(pipeline_->Health());
  const int count = unreadable_count_;
  if (count == 0) return OkStatus();
  return Internal(fmt::format("{} objects cannot be read; the log named them at the start", count));
}

Result<crd::ResourceTypePtr> LocalObjectStore::StoredType(const GroupResource& resource) const {
  crd::ResourceTypePtr type = options_.types->FindStorage(resource.group, resource.plural);
  if (!type) return NoSuchResource();
  return type;
}

Result<crd::ResourceTypePtr> LocalObjectStore::TypeOf(const GroupResource& resource,
                                                      const crd::Json& body) const {
  ASSIGN_OR_RETURN(const crd::ResourceTypePtr stored, StoredType(resource));
  const auto sent = body.find("apiVersion");
  const std::string api_version =
      sent != body.end() && sent->is_string() ? sent->get<std::string>() : std::string();
  const std::string version = api_version.substr(api_version.find('/') + 1);  // npos + 1 is 0
  crd::ResourceTypePtr type = options_.types->Find(resource.group, version, resource.plural);
  if (type && type->ApiVersion() == api_version) return type;
  return BadRequestError(
      fmt::format("the API version in the data ({}) does not match the expected API version ({})",
                  api_version, stored->ApiVersion()));
}

Result<Filter> LocalObjectStore::FilterFor(const GroupResource& resource, const std::string& ns,
                                           const LabelSelector& labels,
                                           const FieldSelector& fields) const {
  ASSIGN_OR_RETURN(const crd::ResourceTypePtr type, StoredType(resource));
  for (const FieldRequirement& one : fields.requirements) {
    const auto& allowed = type->selectable_fields;
    const bool known = one.path == "metadata.name" || one.path == "metadata.namespace" ||
                       std::find(allowed.begin(), allowed.end(), one.path) != allowed.end();
    if (!known) return BadRequestError(fmt::format("field label not supported: {}", one.path));
  }
  return Filter{.resource = resource, .ns = ns, .labels = labels, .fields = fields};
}

Result<ObjectPtr> LocalObjectStore::Get(const ObjectKey& key) {
  ObjectPtr object = table_.Get(key);
  if (!object || object->unreadable.empty()) return object;
  return UnreadableError(key, *object);
}

Result<ListResult> LocalObjectStore::List(const GroupResource& resource,
                                          const ListOptions& options) {
  ASSIGN_OR_RETURN(const Filter filter,
                   FilterFor(resource, options.ns, options.labels, options.fields));
  return table_.List(filter, options);
}

Result<std::unique_ptr<Watch>> LocalObjectStore::OpenWatch(const GroupResource& resource,
                                                           const WatchOptions& options) {
  ASSIGN_OR_RETURN(const Filter filter,
                   FilterFor(resource, options.ns, options.labels, options.fields));
  return hub_->Open(filter, options);
}

Status LocalObjectStore::AwaitRevision(Revision revision, std::chrono::milliseconds patience,
                                       const std::stop_token& stop) {
  // A wait on a condition variable: real time, whatever clock the store was given.
  const MonotonicTime deadline = RealClock().Now() + patience;
  if (table_.AwaitRevision(revision, stop, deadline)) return OkStatus();
  return FutureRevisionError(revision, table_.revision());
}

}  // namespace forkplane::store
