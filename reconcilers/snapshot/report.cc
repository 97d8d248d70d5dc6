#include "reconcilers/snapshot/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace forkplane::snapshot {
namespace {

using crd::ConditionStatus;
using crd::SnapshotPhase;
namespace condition = crd::condition;

SnapshotPhase PhaseOf(const Report& report) {
  const Observed& observed = report.context.observed;
  if (report.context.desired.refused || observed.damaged) return SnapshotPhase::kFailed;
  if (observed.committed) return SnapshotPhase::kReady;
  if (report.capturing) return SnapshotPhase::kCapturing;
  return observed.given_up ? SnapshotPhase::kFailed : SnapshotPhase::kPending;
}

std::int64_t SizeOf(const storage::SnapshotManifest& manifest, std::string_view prefix) {
  std::int64_t bytes = 0;
  for (const storage::SnapshotFile& file : manifest.files) {
    if (file.name.starts_with(prefix)) bytes += static_cast<std::int64_t>(file.size_bytes);
  }
  return bytes;
}

// The status of a committed snapshot is made from its files alone.
void FillFromFiles(const Report& report, crd::SnapshotStatus& status) {
  const storage::SnapshotManifest& manifest = *report.context.manifest;
  status.size = crd::SnapshotSize{SizeOf(manifest, "memory"), SizeOf(manifest, "state"),
                                  SizeOf(manifest, "disk")};
  status.hypervisor = manifest.hypervisor;
  status.hypervisor_version = manifest.hypervisor_version;
  status.state_format = manifest.state_format;
  if (manifest.network) {
    status.network = crd::SnapshotNetwork{manifest.network->cidr, manifest.network->gateway,
                                          manifest.network->mtu};
  }
  status.parent = manifest.parent;
  status.digest = DigestOf(manifest);
  status.hosts = {{report.host_name, "Present"}};
  if (report.context.description) {
    status.machine = report.context.description->machine;
    status.pause_milliseconds = report.context.description->pause_milliseconds;
  }
}

struct Why {
  std::string reason;
  std::string message;
};

Why NotReady(const Report& report, SnapshotPhase phase) {
  const Context& context = report.context;
  if (context.desired.gone) {
    if (context.users.empty()) return {"Terminating", ""};
    return {"InUse", fmt::format("kept until these are gone: {}", fmt::join(context.users, ", "))};
  }
  if (context.refusal) return {std::string(context.refusal->reason), context.refusal->message};
  if (context.observed.damaged) return {"Damaged", context.damage};
  if (phase == SnapshotPhase::kCapturing) return {"Capturing", ""};
  if (context.observed.given_up || report.waiting == Waiting::kBackoff) {
    return {"CaptureFailed", report.memory.failure};
  }
  if (context.source_obstacle) {
    return {std::string(context.source_obstacle->reason), context.source_obstacle->message};
  }
  return {"Pending", ""};
}

}  // namespace

crd::SnapshotStatus BuildStatus(const Report& report) {
  const Context& context = report.context;
  const std::int64_t generation = context.snapshot->metadata.generation;
  crd::SnapshotStatus status;
  status.observed_generation = generation;
  status.phase = PhaseOf(report);
  if (context.manifest) FillFromFiles(report, status);
  status.used_by = context.users;
  const auto add = [&](std::string_view type, bool yes, const Why& why) {
    status.conditions.push_back({std::string(type),
                                 yes ? ConditionStatus::kTrue : ConditionStatus::kFalse, why.reason,
                                 why.message, generation, ""});
  };
  const Why why = NotReady(report, status.phase);
  const bool captured = context.observed.committed;
  add(condition::kCaptured, captured, captured ? Why{"Captured", ""} : why);
  const bool ready = status.phase == SnapshotPhase::kReady && !context.desired.gone;
  const bool not_supported =
      context.source_obstacle && context.source_obstacle->reason == "NotSupported";
  const bool stalled = !context.desired.gone &&
                       (status.phase == SnapshotPhase::kFailed || (!captured && not_supported));
  if (stalled) {
    add(condition::kStalled, true, why);
  } else if (!ready) {
    add(condition::kReconciling, true, why);
  }
  add(condition::kReady, ready, ready ? Why{"Ready", ""} : why);
  return status;
}

}  // namespace forkplane::snapshot
