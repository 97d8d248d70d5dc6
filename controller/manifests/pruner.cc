#include "controller/manifests/pruner.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "controller/base/log.h"
#include "controller/manifests/apply_plan.h"
#include "controller/store/semantics.h"
#include "crd/json_members.h"

namespace forkplane::manifests {
namespace {

using crd::Json;

constexpr std::size_t kForeignShown = 5;
constexpr std::size_t kTokenCharacters = 8;

const store::GroupResource& Hosts() {
  static const store::GroupResource kHosts{"forkplane.dev", "hosts"};
  return kHosts;
}

bool IsDefinition(const Record& record) {
  return record.key.resource ==
         store::GroupResource{"apiextensions.k8s.io", "customresourcedefinitions"};
}

std::string AnnotationOf(const Json& object, const char* name) {
  const Json& metadata = crd::MemberOf(object, "metadata");
  return crd::TextOf(crd::MemberOf(metadata, "annotations"), name);
}

// What comes and goes by itself with what it is about.
bool IsTransient(const store::GroupResource& resource) {
  return resource.plural == "events" || resource.plural == "leases";
}

}  // namespace

Result<PruneReport> Pruner::Run(const Desired& desired, const RootIdentity& root,
                                std::optional<Hold> hold) {
  ASSIGN_OR_RETURN(Observed observed, Observe(desired));
  observed.root = root;
  observed.hold = std::move(hold);
  PrunePlan plan = PlanPrune(observed);
  PruneReport report;
  if (!observed.hold) {
    RETURN_IF_ERROR(RecordDecisions(plan, report));
    for (const std::string& word : {observed.prune_word, observed.keep_word}) {
      if (!word.empty() && word != report.token) report.given = word;
    }
  }
  report.kept = std::move(plan.kept);
  for (const Gone& gone : plan.prune) Execute(gone, report);
  return report;
}

Result<Observed> Pruner::Observe(const Desired& desired) {
  Observed observed;
  observed.source = options_.source;
  observed.understood = desired.objects.size();
  observed.files = desired.files;
  observed.mounts = desired.mounts;
  observed.prune_max = options_.prune_max;
  observed.held = records_.held();
  std::vector<store::ObjectKey> drop;
  for (const auto& [key, record] : records_.records()) {
    if (desired.Wants(key)) {
      ++observed.owned;
    } else {
      RETURN_IF_ERROR(ObserveRecord(record, desired, observed, drop));
    }
  }
  RETURN_IF_ERROR(records_.Commit({.put = {}, .drop = std::move(drop)}));
  RETURN_IF_ERROR(ReadWords(observed));
  return observed;
}

Status Pruner::ObserveRecord(const Record& record, const Desired& desired, Observed& observed,
                             std::vector<store::ObjectKey>& drop) {
  // A definition may come back, or not be served yet.
  const store::GroupResource& resource = record.key.resource;
  const crd::ResourceTypePtr type = types_.FindStorage(resource.group, resource.plural);
  if (!type) return OkStatus();
  ASSIGN_OR_RETURN(const store::ObjectPtr object, objects_.Get(record.key));
  // What stands whether a file names it or not: its record ends with its file.
  const bool fixture = (resource == Hosts() && record.key.name == options_.host_name) ||
                       type->protected_names.contains(record.key.name);
  if (!object || fixture || !IsOurs(record, *object)) {
    drop.push_back(record.key);
    return OkStatus();
  }
  if (object->meta.terminating()) return OkStatus();
  Gone gone{.record = record, .revision = object->meta.revision, .takes = {}};
  gone.record.uid = object->meta.uid;
  ASSIGN_OR_RETURN(gone.takes, TakesWithIt(record, desired));
  if (record.source == options_.source) ++observed.owned;
  observed.gone.push_back(std::move(gone));
  return OkStatus();
}

// A record without uid is what a crash left between the intent and the object: then the object is
// ours if it says that it was made from that file.
bool Pruner::IsOurs(const Record& record, const store::Object& object) const {
  if (!record.uid.empty()) return record.uid == object.meta.uid;
  const Result<Json> text = crd::ParseJson(object.text);
  return text.ok() && record.source == options_.source &&
         AnnotationOf(*text, kSourceAnnotation) == record.path;
}

// A Namespace and a definition take all that is in them with them.
Result<std::vector<std::string>> Pruner::TakesWithIt(const Record& record, const Desired& desired) {
  const bool is_namespace = record.key.resource == store::NamespaceResource();
  std::vector<std::string> names;
  if (!is_namespace && !IsDefinition(record)) return names;
  std::set<store::GroupResource> seen;  // a resource has one entry for each version
  for (const crd::ResourceTypePtr& type : types_.List()) {
    const store::GroupResource resource{type->group, type->plural};
    const bool within = is_namespace ? type->namespaced : type->crd_name == record.key.name;
    if (!within || IsTransient(resource) || !seen.insert(resource).second) continue;
    store::ListOptions options;
    if (is_namespace) options.ns = record.key.name;
    ASSIGN_OR_RETURN(const store::ListResult list, objects_.List(resource, options));
    AddForeign(list, *type, desired, names);
  }
  return names;
}

// What has an owner is counted with it. What left the directory too goes either way.
void Pruner::AddForeign(const store::ListResult& list, const crd::ResourceType& type,
                        const Desired& desired, std::vector<std::string>& names) const {
  for (const store::ObjectPtr& object : list.items) {
    if (names.size() > kForeignShown) return;
    const store::Meta& meta = object->meta;
    if (!meta.owners.empty() || meta.terminating()) continue;
    const store::ObjectKey key{{type.group, type.plural}, meta.ns, meta.name};
    const Record* known = records_.Find(key);
    const bool goes_too = known != nullptr && known->source == options_.source &&
                          known->uid == meta.uid && !desired.Wants(key);
    if (!goes_too) names.push_back(type.kind + " " + store::NamespacedName(meta.ns, meta.name));
  }
}

Status Pruner::ReadWords(Observed& observed) {
  if (options_.host_name.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const store::ObjectPtr host, objects_.Get({Hosts(), "", options_.host_name}));
  if (!host) return OkStatus();
  ASSIGN_OR_RETURN(const Json text, crd::ParseJson(host->text));
  observed.prune_word = AnnotationOf(text, kPruneAnnotation);
  observed.keep_word = AnnotationOf(text, kKeepAnnotation);
  return OkStatus();
}

// The decisions of an operator, and the word for what is held, are durable before anything is done
// or told.
Status Pruner::RecordDecisions(const PrunePlan& plan, PruneReport& report) {
  RecordBatch batch;
  for (const Gone& gone : plan.confirm) {
    Record record = gone.record;
    record.confirmed = true;
    batch.put.push_back(std::move(record));
  }
  for (const Gone& gone : plan.disown) {
    batch.drop.push_back(gone.record.key);
    report.notices.push_back({.warning = false,
                              .reason = reason::kDisowned,
                              .message = Name(gone.record) + " is kept, and no directory's now"});
  }
  if (plan.held_objects != records_.held().objects) {
    batch.held = HeldSet{plan.held_objects.empty() ? "" : RandomSuffix(rng_, kTokenCharacters),
                         plan.held_objects};
  }
  RETURN_IF_ERROR(records_.Commit(batch));
  report.token = records_.held().token;
  return OkStatus();
}

Result<bool> Pruner::Delete(const Gone& gone) {
  constexpr int kTriesMax = 3;  // statuses are written all the time
  store::Revision revision = gone.revision;
  for (int i = 0; i < kTriesMax; ++i) {
    const auto deleted = objects_.Delete(
        gone.record.key, store::DeleteOptions{.uid = gone.record.uid, .revision = revision});
    if (deleted.ok()) return deleted->removed;
    if (deleted.error().code == Code::kNotFound) return true;
    if (deleted.error().code != Code::kConflict) return deleted.error();
    // Judged again: what decides is whether it is still the recorded object.
    ASSIGN_OR_RETURN(const store::ObjectPtr now, objects_.Get(gone.record.key));
    if (!now || now->meta.uid != gone.record.uid) return true;
    if (now->meta.terminating()) return false;
    revision = now->meta.revision;
  }
  return Unavailable("it keeps changing");
}

void Pruner::Execute(const Gone& gone, PruneReport& report) {
  const std::string name = Name(gone.record);
  const Result<bool> removed = Delete(gone);
  if (!removed.ok()) {
    report.unwritten.push_back({Where(gone.record), name, "prune: " + removed.error().message});
    return;
  }
  ++report.pruned;
  const std::string message = fmt::format("{} left {}", name, Where(gone.record));
  log::Info("pruned: " + message);
  report.notices.push_back({.warning = false, .reason = reason::kPruned, .message = message});
  // While finalizers hold it the record stays; a pass after it is gone drops it.
  if (!*removed) return;
  const Status dropped = records_.Commit({.put = {}, .drop = {gone.record.key}});
  if (!dropped.ok()) report.unwritten.push_back({"the record", name, dropped.error().message});
}

}  // namespace forkplane::manifests
