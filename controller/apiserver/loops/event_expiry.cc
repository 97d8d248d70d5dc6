#include "controller/apiserver/loops/event_expiry.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "crd/json.h"

namespace forkplane::apiserver {
namespace {

// RFC 3339 in UTC, with or without a fraction of a second.
std::optional<WallTime> ParseTime(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr || !text.ends_with('Z') || (*end != 'Z' && *end != '.')) return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

WallTime LastWritten(const store::Object& event, WallTime now) {
  std::optional<WallTime> last;
  const Result<crd::Json> json = crd::ParseJson(event.text);
  if (!json.ok()) return now;
  for (const char* path : {"lastTimestamp", "series.lastObservedTime", "eventTime",
                           "firstTimestamp", "metadata.creationTimestamp"}) {
    const crd::Json* text = crd::FindPath(*json, path);
    if (text == nullptr || !text->is_string()) continue;
    const std::optional<WallTime> time = ParseTime(text->get_ref<const std::string&>());
    if (time && *time <= now) last = std::max(last.value_or(*time), *time);
  }
  return last.value_or(now);
}

}  // namespace

EventExpiry::EventExpiry(store::ObjectStore& store, std::chrono::seconds ttl, Clock& clock,
                         metrics::Registry& metrics)
    : store_(store),
      ttl_(ttl),
      clock_(clock),
      expired_(metrics.AddCounter("forkplane_events_expired_total",
                                  "Events deleted because they were older than --event-ttl.")) {}

const store::GroupResource& EventExpiry::Resource() {
  static const store::GroupResource kEvents{"", "events"};
  return kEvents;
}

void EventExpiry::Changed(const store::ObjectPtr& event) {
  const store::Meta& meta = event->meta;
  Forget(meta.uid);
  const WallTime due = LastWritten(*event, clock_.WallNow()) + ttl_;
  known_[meta.uid] = {due, {Resource(), meta.ns, meta.name}, meta.revision};
  by_time_.emplace(due, meta.uid);
}

void EventExpiry::Gone(const store::ObjectPtr& event) { Forget(event->meta.uid); }

void EventExpiry::Forget(const std::string& uid) {
  const auto known = known_.find(uid);
  if (known == known_.end()) return;
  by_time_.erase({known->second.due, uid});
  known_.erase(known);
}

Status EventExpiry::Collect() {
  const WallTime now = clock_.WallNow();
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    const std::string uid = by_time_.begin()->second;
    const Known& known = known_.at(uid);
    store::DeleteOptions options;
    options.uid = uid;
    options.revision = known.revision;
    const Result<store::DeleteResult> deleted = store_.Delete(known.key, options);
    const Code code = deleted.ok() ? Code::kNotFound : deleted.error().code;
    // Conflict: it was counted again; the sighting of that write gives it a new time.
    if (code != Code::kNotFound && code != Code::kConflict) return deleted.error();
    if (deleted.ok()) expired_.Increment();
    Forget(uid);
  }
  return OkStatus();
}

std::optional<WallTime> EventExpiry::NextDue() const {
  if (by_time_.empty()) return std::nullopt;
  return by_time_.begin()->first;
}

}  // namespace forkplane::apiserver
