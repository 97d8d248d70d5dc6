// How the directory source tells of a pass: log, metrics, notices, and the Host's condition.
#include "controller/base/foreign_text.h"
#include "controller/base/log.h"
#include "controller/manifests/directory_source.h"

namespace forkplane::manifests {
namespace {

constexpr std::size_t kNoticeBytesMax = 1024;  // as the API bounds an Event's message

}  // namespace

DirectorySource::Metrics::Metrics(metrics::Registry* registry) {
  if (registry == nullptr) return;
  problems = registry->AddGauge("forkplane_manifests_errors",
                                "Problems of the manifests directory in the last pass.");
  objects = registry->AddGauge("forkplane_manifests_objects",
                               "Documents of the manifests directory in the last pass.");
  passed_over = registry->AddGauge("forkplane_manifests_passed_over",
                                   "What the last pass saw in the directory and does not apply.");
  held = registry->AddGauge("forkplane_manifests_held",
                            "1 while the Host's condition ManifestsHeld is True.");
  held_objects = registry->AddGauge("forkplane_manifests_held_objects",
                                    "Objects in no document that were not pruned.");
  const char* help = "Writes made for the manifests directory.";
  created = registry->AddCounter("forkplane_manifests_writes_total", help, {{"op", "create"}});
  updated = registry->AddCounter("forkplane_manifests_writes_total", help, {{"op", "update"}});
  pruned = registry->AddCounter("forkplane_manifests_writes_total", help, {{"op", "prune"}});
  reverted = registry->AddCounter("forkplane_manifests_reverted_total",
                                  "Changes of others that the directory undid.");
  last_success = registry->AddGauge("forkplane_manifests_last_success_timestamp_seconds",
                                    "When a pass last ended without a problem.");
}

void DirectorySource::Announce(const SyncReport& report) {
  AnnounceProblems(report);
  for (const Notice& notice : report.notices) Notify(notice);
  AnnounceHold(report);
  Count(report);
  if (report.created + report.updated + report.pruned > 0) {
    log::Info("manifests applied", {{"created", report.created},
                                    {"updated", report.updated},
                                    {"pruned", report.pruned},
                                    {"unchanged", report.unchanged}});
  }
}

void DirectorySource::AnnounceProblems(const SyncReport& report) {
  std::set<Problem> problems(report.problems.begin(), report.problems.end());
  for (const Problem& problem : problems) {
    if (known_problems_.contains(problem)) continue;
    log::Warn("manifest problem",
              {{"where", problem.where}, {"object", problem.object}, {"problem", problem.message}});
    Notify({.warning = true,
            .reason = reason::kManifestRefused,
            .message = fmt::format("{}: {}", problem.where, problem.message)});
  }
  if (problems.empty() && !known_problems_.empty()) log::Info("manifests have no problems now");
  known_problems_ = std::move(problems);

  std::set<Problem> passed_over(report.passed_over.begin(), report.passed_over.end());
  for (const Problem& other : passed_over) {
    if (known_passed_over_.contains(other)) continue;
    log::Info("manifests: passed over",
              {{"where", other.where}, {"object", other.object}, {"why", other.message}});
  }
  known_passed_over_ = std::move(passed_over);
}

void DirectorySource::AnnounceHold(const SyncReport& report) {
  if (report.told == told_) return;
  told_ = report.told;
  if (told_) {
    log::Warn("manifests: pruning is held", {{"reason", told_->reason}, {"why", told_->message}});
    Notify({.warning = true, .reason = reason::kPruningHeld, .message = told_->message});
  } else {
    log::Info("manifests: pruning is held no more");
  }
  if (options_.on_held) options_.on_held(told_);
}

void DirectorySource::Count(const SyncReport& report) {
  metrics_.problems.Set(static_cast<double>(report.problems.size()));
  metrics_.passed_over.Set(static_cast<double>(report.passed_over.size()));
  metrics_.held.Set(report.told ? 1 : 0);
  metrics_.held_objects.Set(static_cast<double>(report.kept.size()));
  metrics_.created.Increment(report.created);
  metrics_.updated.Increment(report.updated);
  metrics_.pruned.Increment(report.pruned);
  for (const Notice& notice : report.notices) {
    if (notice.reason == reason::kReverted) metrics_.reverted.Increment();
  }
  if (report.problems.empty()) {
    const auto now = clock_.WallNow().time_since_epoch();
    metrics_.last_success.Set(std::chrono::duration<double>(now).count());
  }
}

void DirectorySource::Notify(const Notice& notice) const {
  if (!options_.on_notice) return;
  Notice shown = notice;  // file names and texts of documents are anybody's
  shown.message = CleanForeignText(notice.message, kNoticeBytesMax);
  options_.on_notice(shown);
}

}  // namespace forkplane::manifests
