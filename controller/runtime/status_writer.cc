#include "controller/runtime/status_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "controller/store/edits.h"
#include "crd/json_members.h"

namespace forkplane::runtime {
namespace {

using crd::Json;

constexpr std::chrono::seconds kRetryAtLatest{60};

// The list at status.conditions; an empty one when there is none.
const Json& ConditionsOf(const Json& status) {
  static const Json kNone = Json::array();
  const auto it = status.find("conditions");
  return it != status.end() && it->is_array() ? *it : kNone;
}

std::map<std::string, std::string> StatusByType(const Json& status) {
  std::map<std::string, std::string> conditions;
  for (const Json& condition : ConditionsOf(status)) {
    if (condition.is_object()) {
      conditions[crd::TextOf(condition, "type")] = crd::TextOf(condition, "status");
    }
  }
  return conditions;
}

// lastTransitionTime tells when status last flipped: kept from the stored condition of the same
// status, else now.
void StampTransitions(const Json& stored, const std::string& now, Json& wanted) {
  if (!wanted.contains("conditions")) return;
  for (Json& condition : wanted["conditions"]) {
    if (!condition.is_object()) continue;
    condition["lastTransitionTime"] = now;
    for (const Json& old : ConditionsOf(stored)) {
      const bool same = crd::TextOf(old, "type") == crd::TextOf(condition, "type") &&
                        crd::TextOf(old, "status") == crd::TextOf(condition, "status");
      if (same && old.contains("lastTransitionTime")) {
        condition["lastTransitionTime"] = old["lastTransitionTime"];
      }
    }
  }
}

std::string ValueOf(const std::map<std::string, std::string>& conditions, const std::string& type) {
  const auto it = conditions.find(type);
  return it == conditions.end() ? std::string() : it->second;
}

// Whether putting `next` in the place of `waiting` would hide a False between two Trues. What is
// not known to have been written counts as True.
bool Swallows(const std::map<std::string, std::string>& written,
              const std::map<std::string, std::string>& waiting,
              const std::map<std::string, std::string>& next) {
  return std::any_of(waiting.begin(), waiting.end(), [&](const auto& condition) {
    const std::string before = ValueOf(written, condition.first);
    return condition.second == "False" && ValueOf(next, condition.first) == "True" &&
           (before.empty() || before == "True");
  });
}

std::chrono::nanoseconds RetryDelay(int failures) {
  std::chrono::nanoseconds delay = kStatusRetryFirst;
  for (int i = 1; i < failures && delay < kStatusRetryMax; ++i) delay *= 2;
  return std::min<std::chrono::nanoseconds>(delay, kStatusRetryMax);
}

}  // namespace

StatusWriter::StatusWriter(store::ObjectStore& store, Clock& clock, metrics::Registry& registry,
                           Options options)
    : store_(store),
      clock_(clock),
      options_(options),
      merged_(registry.AddCounter("forkplane_status_merged_total",
                                  "Wanted statuses merged into a later one before being written.")),
      dropped_(registry.AddCounter("forkplane_status_dropped_total",
                                   "Wanted statuses given up: too many waited.")),
      pending_(registry.AddGauge("forkplane_status_pending",
                                 "Objects whose status was written lately or waits for it.")) {
  const auto add = [this, &registry](const std::string& code) {
    writes_[code] = registry.AddCounter("forkplane_status_writes_total", "Status writes by result.",
                                        {{"code", code}});
  };
  add("ok");
  for (const Code code :
       {Code::kNotFound, Code::kExists, Code::kInvalid, Code::kConflict, Code::kExhausted,
        Code::kUnavailable, Code::kCancelled, Code::kInternal}) {
    add(std::string(ToString(code)));
  }
}

StatusWriter::~StatusWriter() { Stop(std::chrono::milliseconds(0)); }

void StatusWriter::Want(const store::ObjectKey& key, const std::string& uid,
                        const std::string& status) {
  const Result<Json> json = crd::ParseJson(status);
  if (!json.ok() || !json->is_object()) {
    log::Err("wanted status is no JSON object", {{"object", key.name}, {"status", status}});
    dropped_.Increment();
    return;
  }
  const MonotonicTime now = clock_.Now();
  MutexLock lock(mu_);
  if (entries_.size() >= kStatusObjectsMax && entries_.count(uid) == 0) {
    dropped_.Increment();
    return;
  }
  const auto [it, is_new] = entries_.try_emplace(uid);
  Entry& entry = it->second;
  entry.key = key;
  const bool hurry = AddWishLocked(entry, {status, StatusByType(*json)}) || is_new;
  MonotonicTime due = hurry ? now : now + options_.merge_window;
  // What waits already is not put off by what comes later; a store that fails is left its pause.
  const MonotonicTime planned = entry.due.value_or(entry.next_due);
  if (!is_new) due = entry.failures > 0 ? planned : std::min(due, planned);
  ScheduleLocked(uid, entry, due);
  pending_.Set(static_cast<double>(entries_.size()));
}

// Whether a condition flips that did not flip within the window.
bool StatusWriter::AddWishLocked(Entry& entry, Wish wish) {
  const MonotonicTime now = clock_.Now();
  const Conditions& newest = entry.wishes.empty() ? entry.written : entry.wishes.back().conditions;
  bool hurry = false;
  for (const auto& [type, status] : wish.conditions) {
    if (ValueOf(newest, type) == status) continue;
    const auto [flipped, first] = entry.flipped.try_emplace(type, now);
    if (!first && now - flipped->second < options_.merge_window) continue;
    flipped->second = now;
    hurry = true;
  }
  const std::size_t waiting = entry.wishes.size();
  if (waiting == 0) {
    entry.wishes.push_back(std::move(wish));
    return hurry;
  }
  const Conditions& before = waiting > 1 ? entry.wishes[waiting - 2].conditions : entry.written;
  if (waiting < kStatusPendingMax &&
      Swallows(before, entry.wishes.back().conditions, wish.conditions)) {
    entry.wishes.push_back(std::move(wish));
  } else {
    entry.wishes.back() = std::move(wish);
    merged_.Increment();
  }
  return hurry;
}

void StatusWriter::ScheduleLocked(const std::string& uid, Entry& entry, MonotonicTime due) {
  if (entry.in_flight) {
    entry.next_due = due;
    return;
  }
  if (entry.due) due_.erase({*entry.due, uid});
  entry.due = due;
  due_.emplace(due, uid);
  changed_.NotifyOne();
}

std::optional<StatusWriter::Job> StatusWriter::TakeDueLocked() {
  while (!due_.empty() && due_.begin()->first <= clock_.Now()) {
    const std::string uid = due_.begin()->second;
    due_.erase(due_.begin());
    const auto it = entries_.find(uid);
    CHECK(it != entries_.end());
    Entry& entry = it->second;
    entry.due.reset();
    if (entry.wishes.empty()) {
      entries_.erase(it);
      continue;
    }
    Job job{uid, entry.key, std::move(entry.wishes.front())};
    entry.wishes.pop_front();
    entry.written = job.wish.conditions;
    entry.in_flight = true;
    // The next of a row that must not be merged has waited long enough.
    entry.next_due = clock_.Now();
    if (entry.wishes.empty()) entry.next_due += options_.merge_window;
    return job;
  }
  return std::nullopt;
}

bool StatusWriter::ProcessDue() {
  std::optional<Job> job;
  {
    MutexLock lock(mu_);
    job = TakeDueLocked();
  }
  if (!job) return false;
  Finish(*job, Write(*job));
  return true;
}

Status StatusWriter::Write(const Job& job) {
  ASSIGN_OR_RETURN(const Json wanted, crd::ParseJson(job.wish.status));
  const std::string now = FormatTime(clock_.WallNow());
  return store::EditObject(store_, job.key, job.uid, store::Part::kStatus, [&](Json& object) {
    Json status = wanted;
    const auto stored = object.find("status");
    StampTransitions(stored == object.end() ? Json::object() : *stored, now, status);
    object["status"] = std::move(status);
    return true;
  });
}

void StatusWriter::CountWrite(const Status& status) {
  writes_.at(status.ok() ? "ok" : std::string(ToString(status.error().code))).Increment();
}

void StatusWriter::Finish(const Job& job, const Status& status) {
  CountWrite(status);
  const bool hopeless = !status.ok() && status.error().code == Code::kInvalid;
  if (hopeless) {
    log::Err("status refused; it is tried again in a minute, or with the next one",
             {{"object", job.key.name}, {"err", status.error()}});
  }
  MutexLock lock(mu_);
  Entry& entry = entries_.at(job.uid);
  entry.in_flight = false;
  MonotonicTime due = entry.next_due;
  if (status.ok()) {
    entry.failures = 0;
  } else if (hopeless) {
    // A newer wish goes at once. Without one the loop has nothing new to say and would not come
    // back, although what refused the status (a definition, a size) may have changed.
    entry.failures = 0;
    if (entry.wishes.empty()) {
      entry.wishes.push_front(job.wish);
      due = clock_.Now() + kStatusRefusedRetry;
    }
  } else {
    RetryLocked(job, entry);
    due = clock_.Now() + RetryDelay(entry.failures);
  }
  ScheduleLocked(job.uid, entry, due);
  pending_.Set(static_cast<double>(entries_.size()));
  changed_.NotifyAll();
}

// The wish goes back to the front, unless a newer one may take its place.
void StatusWriter::RetryLocked(const Job& job, Entry& entry) {
  ++entry.failures;
  const bool replaced = !entry.wishes.empty() &&
                        (entry.wishes.size() >= kStatusPendingMax ||
                         !Swallows({}, job.wish.conditions, entry.wishes.front().conditions));
  if (replaced) {
    merged_.Increment();
  } else {
    entry.wishes.push_front(job.wish);
  }
}

void StatusWriter::WaitForWork(const std::stop_token& stop) {
  MutexLock lock(mu_);
  std::optional<MonotonicTime> earliest;
  if (!due_.empty()) earliest = due_.begin()->first;
  std::chrono::nanoseconds wait = kRetryAtLatest;
  if (earliest) wait = std::min<std::chrono::nanoseconds>(wait, *earliest - clock_.Now());
  changed_.WaitUntil(mu_, stop, RealClock().Now() + wait,
                     [this, earliest]() NO_THREAD_SAFETY_ANALYSIS {
                       return !due_.empty() && (!earliest || due_.begin()->first < *earliest);
                     });
}

void StatusWriter::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (!ProcessDue()) WaitForWork(stop);
  }
}

void StatusWriter::Start() {
  CHECK(threads_.empty());
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { Run(stop); });
  }
}

void StatusWriter::Stop(std::chrono::milliseconds patience) {
  if (!threads_.empty()) WaitIdle(std::stop_token{}, RealClock().Now() + patience);
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

bool StatusWriter::IdleLocked() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const auto& entry) {
    return entry.second.wishes.empty() && !entry.second.in_flight;
  });
}

bool StatusWriter::WaitIdle(const std::stop_token& stop, MonotonicTime deadline) {
  MutexLock lock(mu_);
  return changed_.WaitUntil(mu_, stop, deadline,
                            [this]() NO_THREAD_SAFETY_ANALYSIS { return IdleLocked(); });
}

}  // namespace forkplane::runtime
