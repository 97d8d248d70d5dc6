#include "controller/runtime/event_recorder.h"

#include <nlohmann/json.hpp>

#include "controller/base/foreign_text.h"
#include "controller/base/log.h"
#include "crd/json.h"

namespace forkplane::runtime {
namespace {

using crd::Json;

constexpr std::string_view kCombined = "(combined from similar events): ";

const store::GroupResource& EventResource() {
  static const store::GroupResource kEvents{"", "events"};
  return kEvents;
}

const char* TypeName(EventType type) { return type == EventType::kNormal ? "Normal" : "Warning"; }

std::string NamespaceOf(const ObjectReference& about) {
  return about.ns.empty() ? "default" : about.ns;
}

Json ReferenceJson(const ObjectReference& about) {
  Json json = {{"apiVersion", about.api_version},
               {"kind", about.kind},
               {"name", about.name},
               {"uid", about.uid}};
  if (!about.ns.empty()) json["namespace"] = about.ns;
  return json;
}

}  // namespace

ObjectReference ReferenceTo(const store::Object& object) {
  return {.api_version = object.api_version,
          .kind = object.kind,
          .ns = object.meta.ns,
          .name = object.meta.name,
          .uid = object.meta.uid};
}

EventRecorder::EventRecorder(store::ObjectStore& store, std::string component, std::string host,
                             Clock& clock, Rng& rng, metrics::Registry& registry)
    : store_(store),
      component_(std::move(component)),
      host_(std::move(host)),
      clock_(clock),
      rng_(rng),
      recorded_normal_(registry.AddCounter("forkplane_events_recorded_total", "Events written.",
                                           {{"type", "Normal"}})),
      recorded_warning_(registry.AddCounter("forkplane_events_recorded_total", "Events written.",
                                            {{"type", "Warning"}})),
      dropped_(registry.AddCounter("forkplane_events_dropped_total",
                                   "Events lost: too many waited, or the store refused.")) {}

EventRecorder::~EventRecorder() { Stop(); }

void EventRecorder::Record(const ObjectReference& about, EventType type, const std::string& reason,
                           const std::string& message) {
  Pending pending{.about = about,
                  .type = type,
                  .reason = reason,
                  .message = std::string(CutUtf8(message, kEventMessageBytesMax)),
                  .at = clock_.WallNow()};
  MutexLock lock(mu_);
  if (queue_.size() >= kEventQueueMax) {
    dropped_.Increment();
    return;
  }
  queue_.push_back(std::move(pending));
  changed_.NotifyOne();
}

void EventRecorder::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void EventRecorder::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void EventRecorder::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      MutexLock lock(mu_);
      changed_.Wait(mu_, stop, [this]() NO_THREAD_SAFETY_ANALYSIS { return !queue_.empty(); });
    }
    if (!stop.stop_requested()) ProcessOne();
  }
}

bool EventRecorder::ProcessOne() {
  Pending pending;
  {
    MutexLock lock(mu_);
    if (queue_.empty()) return false;
    pending = std::move(queue_.front());
    queue_.pop_front();
  }
  const EventType type = pending.type;
  const std::string reason = pending.reason;
  const Status written = Write(std::move(pending));
  if (written.ok()) {
    (type == EventType::kNormal ? recorded_normal_ : recorded_warning_).Increment();
  } else {
    dropped_.Increment();
    log::Warn("event lost", {{"reason", reason}, {"err", written.error()}});
  }
  return true;
}

std::string EventRecorder::SeriesOf(const Pending& pending) {
  return fmt::format("{}|{}|{}", pending.about.uid, TypeName(pending.type), pending.reason);
}

Status EventRecorder::Write(Pending pending) {
  const std::string series = SeriesOf(pending);
  std::string identity = series + "|" + pending.message;
  auto known = known_.find(identity);
  if (known == known_.end()) {
    const auto similar = similar_.find(series);
    if (similar != similar_.end() && similar->second >= kSimilarEventsMax) {
      identity = series + "|" + std::string(kCombined);
      const std::string message = std::string(kCombined) + pending.message;
      pending.message = std::string(CutUtf8(message, kEventMessageBytesMax));
      known = known_.find(identity);
    }
  }
  if (known != known_.end()) {
    Status counted = CountAgain(known->second.key, pending);
    if (counted.ok() || counted.error().code != Code::kNotFound) return counted;
    // Somebody deleted it: a new one.
    Forget(identity);
  }
  return CreateNew(pending, identity);
}

Status EventRecorder::CountAgain(const store::ObjectKey& key, const Pending& pending) {
  RETURN_IF_ERROR(store_.Modify(key, [&](Json& event) -> Result<bool> {
    const auto count = event.find("count");
    const bool counted = count != event.end() && count->is_number_integer();
    event["count"] = (counted ? count->get<std::int64_t>() : 1) + 1;
    event["lastTimestamp"] = FormatTime(pending.at);
    event["message"] = pending.message;
    return true;
  }));
  return OkStatus();
}

Status EventRecorder::CreateNew(const Pending& pending, const std::string& identity) {
  const std::string name =
      fmt::format("{}.{:016x}", pending.about.name.substr(0, 200), rng_.Next());
  const std::string ns = NamespaceOf(pending.about);
  const std::string time = FormatTime(pending.at);
  const Json event = {{"apiVersion", "v1"},
                      {"kind", "Event"},
                      {"metadata", {{"name", name}, {"namespace", ns}}},
                      {"involvedObject", ReferenceJson(pending.about)},
                      {"type", TypeName(pending.type)},
                      {"reason", pending.reason},
                      {"message", pending.message},
                      {"count", 1},
                      {"firstTimestamp", time},
                      {"lastTimestamp", time},
                      {"source", {{"component", component_}, {"host", host_}}},
                      {"reportingComponent", component_},
                      {"reportingInstance", host_}};
  const Result<store::WriteResult> created =
      store_.Create(EventResource(), ns, crd::DumpJson(event));
  if (!created.ok()) return created.error();
  Remember(identity, SeriesOf(pending), {EventResource(), ns, name});
  return OkStatus();
}

void EventRecorder::Remember(const std::string& identity, const std::string& series,
                             const store::ObjectKey& key) {
  ages_.push_back(identity);
  known_[identity] = {key, series, std::prev(ages_.end())};
  ++similar_[series];
  if (known_.size() > kEventsRememberedMax) Forget(std::string(ages_.front()));
}

void EventRecorder::Forget(const std::string& identity) {
  const auto known = known_.find(identity);
  if (known == known_.end()) return;
  const auto similar = similar_.find(known->second.series);
  if (--similar->second == 0) similar_.erase(similar);
  ages_.erase(known->second.age);
  known_.erase(known);
}

}  // namespace forkplane::runtime
