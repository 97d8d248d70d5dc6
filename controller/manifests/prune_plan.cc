#include "controller/manifests/prune_plan.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "controller/base/clock.h"

namespace forkplane::manifests {
namespace {

std::string Describe(const RootIdentity& root) {
  return fmt::format("{} (device {}, inode {}, born {})", root.path, root.device, root.inode,
                     FormatTime(WallTime(std::chrono::duration_cast<WallTime::duration>(
                         std::chrono::nanoseconds(root.born_ns)))));
}

// git-sync and Kubernetes volumes put a whole new tree in place by renaming a link; a mount that
// went away, or a folder that was deleted and made anew, has the path of before.
bool IsRootOf(const RootIdentity& seen, const RootIdentity& now) {
  if (seen.device != now.device) return false;
  const bool same = seen.inode == now.inode && seen.born_ns == now.born_ns;
  return same || seen.path != now.path;
}

std::optional<Hold> JudgeRoot(const Record& record, const Observed& observed) {
  if (record.source != observed.source) {
    return Hold{reason::kOtherDirectory,
                record.source.empty()
                    ? "an earlier version applied it, and whether from this directory is not known"
                    : "it came from " + record.source + ", which is not followed now"};
  }
  if (!IsRootOf(record.root, observed.root)) {
    return Hold{reason::kRootReplaced, fmt::format("it was last seen in {}; that is now {}",
                                                   Describe(record.root), Describe(observed.root))};
  }
  if (!record.mount.empty() && !observed.mounts.contains(record.mount)) {
    return Hold{reason::kRootReplaced, record.mount + " was a mount below it, and is none now"};
  }
  if (observed.understood == 0) {
    return Hold{reason::kDirectoryEmptied, "the directory holds no object at all"};
  }
  return std::nullopt;
}

std::optional<Hold> JudgeFile(const Record& record, const Observed& observed) {
  const auto file = observed.files.find(record.path);
  if (file == observed.files.end()) return std::nullopt;
  const FileFacts& facts = file->second;
  if (facts.foreign || (facts.blank && facts.objects == 0)) {
    return Hold{reason::kFileWithoutObjects,
                record.path + (facts.foreign ? " has something else in it now"
                                             : " is still there, and empty")};
  }
  if (facts.cut) {
    return Hold{reason::kFileCut,
                record.path + " ends in the middle of a line: it may have been cut off"};
  }
  return std::nullopt;
}

std::optional<Hold> Judge(const Gone& gone, const Observed& observed) {
  if (auto hold = JudgeRoot(gone.record, observed)) return hold;
  if (auto hold = JudgeFile(gone.record, observed)) return hold;
  if (!gone.takes.empty()) {
    return Hold{reason::kContentOfOthers,
                fmt::format("what the directory does not hold would go with it: {}",
                            fmt::join(gone.takes, ", "))};
  }
  return std::nullopt;
}

std::size_t Bound(const Observed& observed) {
  if (observed.prune_max) return *observed.prune_max;
  return observed.owned <= kOwnedWithoutBound ? observed.owned : observed.owned / 2;
}

// One line per object. The uid makes it this object, not one of the same name.
std::string ObjectsOf(const std::vector<Kept>& kept) {
  std::vector<std::string> lines;
  lines.reserve(kept.size());
  for (const Kept& object : kept) {
    const Record& record = object.object.record;
    lines.push_back(fmt::format("{} {} {}\n", store::ToString(record.key.resource),
                                store::NamespacedName(record.key.ns, record.key.name), record.uid));
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, ""));
}

void KeepAll(std::vector<Gone> gone, const Hold& hold, PrunePlan& plan) {
  for (Gone& object : gone) plan.kept.push_back({std::move(object), hold});
}

// What an operator said of the set that is held, if it is still this set.
void Obey(const Observed& observed, PrunePlan& plan) {
  if (plan.held_objects.empty() || plan.held_objects != observed.held.objects) return;
  const std::string& word = observed.held.token;
  const bool prune = observed.prune_word == word;
  if (word.empty() || (!prune && observed.keep_word != word)) return;
  for (Kept& object : plan.kept) {
    if (prune) plan.confirm.push_back(object.object);
    (prune ? plan.prune : plan.disown).push_back(std::move(object.object));
  }
  plan.kept.clear();
  plan.held_objects.clear();
}

}  // namespace

PrunePlan PlanPrune(const Observed& observed) {
  PrunePlan plan;
  if (observed.hold) {
    KeepAll(observed.gone, *observed.hold, plan);
    return plan;
  }
  std::vector<Gone> unasked;
  for (const Gone& gone : observed.gone) {
    if (gone.record.confirmed) {
      plan.prune.push_back(gone);
    } else if (auto hold = Judge(gone, observed)) {
      plan.kept.push_back({gone, *std::move(hold)});
    } else {
      unasked.push_back(gone);
    }
  }
  if (unasked.size() > Bound(observed)) {
    const Hold hold{reason::kTooManyToPrune,
                    fmt::format("{} of {} objects left at once; at most {} are pruned unasked",
                                unasked.size(), observed.owned, Bound(observed))};
    KeepAll(std::move(unasked), hold, plan);
  } else {
    plan.prune.insert(plan.prune.end(), unasked.begin(), unasked.end());
  }
  plan.held_objects = ObjectsOf(plan.kept);
  Obey(observed, plan);
  std::stable_sort(plan.prune.begin(), plan.prune.end(), [](const Gone& a, const Gone& b) {
    return ApplyRank(a.record.kind) > ApplyRank(b.record.kind);
  });
  return plan;
}

}  // namespace forkplane::manifests
