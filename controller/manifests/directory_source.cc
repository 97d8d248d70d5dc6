#include "controller/manifests/directory_source.h"

#include <sys/eventfd.h>

#include <new>
#include <utility>

#include "controller/base/log.h"
#include "controller/manifests/held_text.h"
#include "controller/manifests/take_over.h"

namespace forkplane::manifests {
namespace {

void Append(std::vector<Problem>& to, const std::vector<Problem>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// "vms.yaml:1: VirtualMachine default/a: forkplane.dev/v1 has no kind VirtualMachine"
std::string Said(const Problem& problem) {
  return fmt::format("{}: {}{}{}", problem.where, problem.object,
                     problem.object.empty() ? "" : ": ", problem.message);
}

std::string FirstOf(const std::vector<Problem>& problems) {
  std::string text = Said(problems.front());
  if (problems.size() > 1) text += fmt::format(" (and {} more)", problems.size() - 1);
  return text;
}

// These end by themselves, usually in seconds.
bool PassesByItself(const Hold& hold) {
  return hold.reason == reason::kSettling || hold.reason == reason::kGitOperation ||
         hold.reason == reason::kNotApplied;
}

}  // namespace

DirectorySource::DirectorySource(DirectorySourceOptions options, store::ObjectStore& objects,
                                 const crd::TypeRegistry& types, Clock& clock, Rng& rng)
    : options_(std::move(options)),
      objects_(objects),
      types_(types),
      clock_(clock),
      rng_(rng),
      metrics_(options_.registry),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(wake_.valid());
}

Status DirectorySource::OpenRecords() {
  if (!records_) {
    ASSIGN_OR_RETURN(RecordStore opened, RecordStore::Open(options_.record_path));
    records_.emplace(std::move(opened));
    applier_.emplace(objects_, *records_, options_.path);
    pruner_.emplace(objects_, types_, *records_, rng_,
                    PruneOptions{options_.path, options_.host_name, options_.prune_max});
  }
  return TakeOver(objects_, types_, *records_);
}

SyncReport DirectorySource::Sync() {
  try {
    return SyncOnce();
  } catch (const std::bad_alloc&) {
    SyncReport report;
    report.problems.push_back({"the directory", "", "no memory is left to apply it"});
    report.pass_hold = Hold{reason::kNotApplied, "no memory is left to apply the directory"};
    report.told = report.pass_hold;
    report.retry_soon = true;
    Announce(report);
    return report;
  }
}

SyncReport DirectorySource::SyncOnce() {
  Result<TreeWatch> watch = TreeWatch::Make();
  const TreeScan scan = ScanTree(options_.path, watch.ok() ? &*watch : nullptr);
  watch_.reset();
  if (watch.ok()) watch_.emplace(std::move(*watch));
  if (fingerprint_ != scan.fingerprint) {
    fingerprint_ = scan.fingerprint;
    quiet_since_ = clock_.Now();
  }
  const Desired desired = Understand(ParseTree(scan), types_);

  SyncReport report;
  report.problems = desired.refused;
  report.passed_over = desired.passed_over;
  if (const Status opened = OpenRecords(); opened.ok()) {
    ApplyAndPrune(scan, desired, report);
  } else {
    report.pass_hold =
        Hold{reason::kRecordUnreadable,
             fmt::format("{}: nothing of the directory is applied; stop the daemon and mend the "
                         "file, or move it away: then nothing is owned until it is applied again",
                         opened.error().message)};
    report.retry_soon = true;
    report.told = WhatIsTold(report, {});
  }
  metrics_.objects.Set(static_cast<double>(desired.objects.size()));
  Announce(report);
  return report;
}

void DirectorySource::ApplyAndPrune(const TreeScan& scan, const Desired& desired,
                                    SyncReport& report) {
  ApplyReport applied = applier_->Apply(desired, scan.root);
  report.created = applied.created;
  report.updated = applied.updated;
  report.unchanged = applied.unchanged;
  report.notices = std::move(applied.notices);
  for (const auto* problems : {&applied.refused, &applied.unwritten, &applied.awaited}) {
    Append(report.problems, *problems);
  }
  report.retry_soon =
      !applied.unwritten.empty() || !applied.awaited.empty() || !desired.waiting.empty();
  report.pass_hold = WhyNothingIsPruned(scan, desired, applied, report);

  Result<PruneReport> pruned = pruner_->Run(desired, scan.root, report.pass_hold);
  if (!pruned.ok()) {
    report.problems.push_back({"prune", "", pruned.error().message});
    report.pass_hold = Hold{reason::kNotApplied, pruned.error().message};
    report.retry_soon = true;
    pruned = PruneReport{};
  }
  report.pruned = pruned->pruned;
  report.kept = pruned->kept;
  report.token = pruned->token;
  report.retry_soon = report.retry_soon || !pruned->unwritten.empty();
  Append(report.problems, pruned->unwritten);
  report.notices.insert(report.notices.end(), pruned->notices.begin(), pruned->notices.end());
  report.told = WhatIsTold(report, *pruned);
  // A definition that is refused, or whose names are taken, is never served.
  const bool lasts = held_since_ && clock_.Now() - *held_since_ >= options_.patience;
  if (lasts) Append(report.problems, desired.waiting);
}

std::optional<Hold> DirectorySource::WhyNothingIsPruned(const TreeScan& scan,
                                                        const Desired& desired,
                                                        const ApplyReport& applied,
                                                        SyncReport& report) {
  std::vector<Problem> refused = desired.refused;
  Append(refused, applied.refused);
  if (!refused.empty()) {
    return Hold{reason::kDocumentRefused,
                FirstOf(refused) + ". Remedy: mend it, or move it out of the directory"};
  }
  std::vector<Problem> unfinished = applied.unwritten;
  Append(unfinished, desired.waiting);
  if (!unfinished.empty()) return Hold{reason::kNotApplied, FirstOf(unfinished)};
  if (!scan.git_busy.empty()) {
    report.retry_soon = true;
    return Hold{reason::kGitOperation,
                fmt::format("{} is there: git is in the middle of something. Remedy: finish or "
                            "abort it; a lock that no git holds is to be removed",
                            scan.git_busy)};
  }
  const auto quiet = clock_.Now() - quiet_since_;
  if (quiet < options_.settle) {
    report.settles_in = std::chrono::ceil<std::chrono::milliseconds>(options_.settle - quiet);
    return Hold{
        reason::kSettling,
        fmt::format("{} was changed less than {} ms ago (--manifests-settle)",
                    scan.newest.empty() ? "the directory" : scan.newest, options_.settle.count())};
  }
  return std::nullopt;
}

std::optional<Hold> DirectorySource::WhatIsTold(const SyncReport& report,
                                                const PruneReport& pruned) {
  if (!report.pass_hold) {
    held_since_.reset();
  } else if (PassesByItself(*report.pass_hold)) {
    const MonotonicTime now = clock_.Now();
    if (!held_since_) held_since_ = now;
    if (report.kept.empty() || now - *held_since_ < options_.patience) return std::nullopt;
  }
  return DescribeHold(report.pass_hold, pruned, options_.host_name);
}

}  // namespace forkplane::manifests
