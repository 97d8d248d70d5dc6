#include "controller/manifests/directory_source.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "controller/base/log.h"

namespace forkplane::manifests {
namespace {

constexpr std::chrono::milliseconds kBackoffFirst{1'000};
// A change rarely comes alone: wait until it has been quiet for a while, but not for ever.
constexpr std::chrono::milliseconds kQuiet{100};
constexpr std::chrono::milliseconds kChangesMax{1'000};

Problem ProblemOf(const Manifest& manifest, const Error& error) {
  return {Where(manifest), Name(manifest), error.message};
}

}  // namespace

DirectorySource::Metrics::Metrics(metrics::Registry* registry) {
  if (registry == nullptr) return;
  problems = registry->AddGauge("forkplane_manifests_errors",
                                "Problems of the manifests directory in the last pass.");
  objects = registry->AddGauge("forkplane_manifests_objects",
                               "Documents of the manifests directory in the last pass.");
  created = registry->AddCounter("forkplane_manifests_writes_total",
                                 "Writes made for the manifests directory.", {{"op", "create"}});
  updated = registry->AddCounter("forkplane_manifests_writes_total",
                                 "Writes made for the manifests directory.", {{"op", "update"}});
  pruned = registry->AddCounter("forkplane_manifests_writes_total",
                                "Writes made for the manifests directory.", {{"op", "prune"}});
  last_success = registry->AddGauge("forkplane_manifests_last_success_timestamp_seconds",
                                    "When a pass last ended without a problem.");
}

DirectorySource::DirectorySource(DirectorySourceOptions options, store::ObjectStore& objects,
                                 const crd::TypeRegistry& types, Clock& clock, Rng& rng)
    : options_(std::move(options)),
      applier_(objects, types),
      clock_(clock),
      rng_(rng),
      metrics_(options_.registry) {}

SyncReport DirectorySource::Sync() {
  Result<TreeWatch> watch = TreeWatch::Make();
  const TreeScan scan = ScanTree(options_.path, watch.ok() ? &*watch : nullptr);
  watch_.reset();
  if (watch.ok()) watch_.emplace(std::move(*watch));

  const ParsedTree tree = ParseTree(scan);
  SyncReport report;
  report.problems = tree.problems;
  std::set<store::ObjectKey> wanted;
  ApplyAll(tree, wanted, report);
  report.prune_held = WhyPruneIsHeld(scan, tree, report);
  if (report.prune_held.empty()) Prune(wanted, report);

  metrics_.objects.Set(static_cast<double>(tree.manifests.size()));
  Announce(report);
  return report;
}

void DirectorySource::ApplyAll(const ParsedTree& tree, std::set<store::ObjectKey>& wanted,
                               SyncReport& report) {
  for (const Manifest& manifest : tree.manifests) {
    const Result<store::ObjectKey> key = applier_.KeyOf(manifest);
    const Result<Applied> applied = key.ok() ? applier_.Apply(*key, manifest) : key.error();
    if (key.ok()) wanted.insert(*key);
    if (!applied.ok()) {
      report.problems.push_back(ProblemOf(manifest, applied.error()));
      report.retry_soon = report.retry_soon || applied.error().code != Code::kInvalid;
      continue;
    }
    switch (*applied) {
      case Applied::kCreated:
        ++report.created;
        metrics_.created.Increment();
        break;
      case Applied::kUpdated:
        ++report.updated;
        metrics_.updated.Increment();
        break;
      case Applied::kUnchanged:
        ++report.unchanged;
        break;
    }
  }
}

// An object of a kind that is not served cannot be owned, so an unknown kind does not hold pruning.
std::string DirectorySource::WhyPruneIsHeld(const TreeScan& scan, const ParsedTree& tree,
                                            SyncReport& report) {
  const std::optional<std::uint64_t> filled_before = filled_device_;
  if (!tree.manifests.empty()) filled_device_ = scan.device;
  if (!tree.identities_known) return "the directory is not known completely";
  if (tree.manifests.empty() && filled_before != scan.device) {
    return "the directory is empty and was not seen filled since the start";
  }
  const WallTime now = clock_.WallNow();
  // A change in the future is a clock that was set back; it must not hold pruning for ever.
  if (scan.changed_at > now - options_.settle && scan.changed_at <= now + options_.settle) {
    report.retry_soon = true;
    return "a file was changed a moment ago";
  }
  return {};
}

void DirectorySource::Prune(const std::set<store::ObjectKey>& wanted, SyncReport& report) {
  Result<std::vector<Applier::Owned>> owned = applier_.ListOwned();
  if (!owned.ok()) {
    report.prune_held = "list owned objects: " + owned.error().message;
    report.retry_soon = true;
    return;
  }
  std::stable_sort(owned->begin(), owned->end(),
                   [](const Applier::Owned& a, const Applier::Owned& b) {
                     return ApplyRank(a.kind) > ApplyRank(b.kind);
                   });
  for (const Applier::Owned& object : *owned) {
    if (object.terminating || wanted.contains(object.key)) continue;
    const std::string name =
        object.kind + " " + store::NamespacedName(object.key.ns, object.key.name);
    if (const Status status = applier_.Prune(object); !status.ok()) {
      report.problems.push_back({"prune", name, status.error().message});
      report.retry_soon = true;
      continue;
    }
    ++report.pruned;
    metrics_.pruned.Increment();
    log::Info("pruned: it left the manifests directory", {{"object", name}});
  }
}

void DirectorySource::Announce(const SyncReport& report) {
  metrics_.problems.Set(static_cast<double>(report.problems.size()));
  std::set<Problem> problems(report.problems.begin(), report.problems.end());
  for (const Problem& problem : problems) {
    if (known_problems_.contains(problem)) continue;
    log::Warn("manifest problem",
              {{"where", problem.where}, {"object", problem.object}, {"problem", problem.message}});
    if (options_.on_problem) options_.on_problem(problem);
  }
  if (problems.empty() && !known_problems_.empty()) log::Info("manifests have no problems now");
  known_problems_ = std::move(problems);
  if (report.created + report.updated + report.pruned > 0) {
    log::Info("manifests applied", {{"created", report.created},
                                    {"updated", report.updated},
                                    {"pruned", report.pruned},
                                    {"unchanged", report.unchanged}});
  }
  if (report.problems.empty()) {
    const auto now = clock_.WallNow().time_since_epoch();
    metrics_.last_success.Set(std::chrono::duration<double>(now).count());
  }
}

// One second, two, four ... while something is expected soon; else the resync period, spread by a
// tenth so that many hosts do not act together.
std::chrono::milliseconds DirectorySource::NextWait(const SyncReport& report) {
  if (report.retry_soon) {
    backoff_ = std::min(std::max(2 * backoff_, kBackoffFirst), options_.resync);
    return backoff_;
  }
  backoff_ = {};
  const auto tenth = static_cast<std::uint64_t>(options_.resync.count() / 10);
  return options_.resync - std::chrono::milliseconds(tenth) +
         std::chrono::milliseconds(rng_.Below(2 * tenth + 1));
}

void DirectorySource::Run(const std::stop_token& stop) {
  const UniqueFd stop_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  CHECK(stop_fd.valid());
  const std::stop_callback on_stop(stop, [&stop_fd] {
    const std::uint64_t one = 1;
    (void)!::write(stop_fd.get(), &one, sizeof(one));
  });
  log::Info("manifests directory is followed", {{"path", options_.path}});
  std::string held;
  while (!stop.stop_requested()) {
    const SyncReport report = Sync();
    if (report.prune_held != held && !report.prune_held.empty() && !report.retry_soon) {
      log::Warn("manifests: nothing is pruned", {{"reason", report.prune_held}});
    }
    held = report.prune_held;
    if (WaitForChange(stop_fd.get(), NextWait(report))) return;
  }
}

bool DirectorySource::WaitForChange(int stop_fd, std::chrono::milliseconds patience) {
  MonotonicTime deadline = clock_.Now() + patience;
  std::optional<MonotonicTime> last_moment;  // set by the first change
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_.Now());
    std::array<pollfd, 2> fds{pollfd{stop_fd, POLLIN, 0},
                              pollfd{watch_ ? watch_->fd() : -1, POLLIN, 0}};
    const int ready =
        ::poll(fds.data(), fds.size(), static_cast<int>(std::max<long>(left.count(), 0)));
    if (fds[0].revents != 0) return true;
    if (ready == 0) return false;
    if (fds[1].revents == 0 || !watch_->Drain()) continue;
    backoff_ = {};  // what failed before may work with what has changed
    const MonotonicTime now = clock_.Now();
    if (!last_moment) last_moment = now + kChangesMax;
    deadline = std::min(now + kQuiet, *last_moment);
  }
}

}  // namespace forkplane::manifests
