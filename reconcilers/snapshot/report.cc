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
  const Sight& sight = report.scene.sight;
  if (report.scene.goal.refused || sight.damaged) return SnapshotPhase::kFailed;
  if (sight.committed) return SnapshotPhase::kReady;
  if (report.capturing) return SnapshotPhase::kCapturing;
  return sight.given_up ? SnapshotPhase::kFailed : SnapshotPhase::kPending;
}

std::int64_t SizeOf(const storage::SnapshotManifest& manifest, std::string_view prefix) {
  std::int64_t bytes = 0;
  for (const storage::SnapshotFile& file : manifest.files) {
    if (file.name.starts_with(prefix)) bytes += static_cast<std::int64_t>(file.size_bytes);
  }
  return bytes;
}

// A committed snapshot says everything itself, whatever the status said before.
void FillFromFiles(const Report& report, crd::SnapshotStatus& status) {
  const storage::SnapshotManifest& manifest = *report.scene.manifest;
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
  if (report.scene.description) {
    status.machine = report.scene.description->machine;
    status.pause_milliseconds = report.scene.description->pause_milliseconds;
  }
}

struct Why {
  std::string reason;
  std::string message;
};

Why NotReady(const Report& report, SnapshotPhase phase) {
  const Scene& scene = report.scene;
  if (scene.goal.gone) {
    if (scene.users.empty()) return {"Terminating", ""};
    return {"InUse", fmt::format("kept until these are gone: {}", fmt::join(scene.users, ", "))};
  }
  if (scene.refusal) return {std::string(scene.refusal->reason), scene.refusal->message};
  if (scene.sight.damaged) return {"Damaged", scene.damage};
  if (phase == SnapshotPhase::kCapturing) return {"Capturing", ""};
  if (scene.sight.given_up || report.waiting == Waiting::kBackoff) {
    return {"CaptureFailed", report.memory.failure};
  }
  if (scene.source_trouble) {
    return {std::string(scene.source_trouble->reason), scene.source_trouble->message};
  }
  return {"Pending", ""};
}

}  // namespace

crd::SnapshotStatus BuildStatus(const Report& report) {
  const Scene& scene = report.scene;
  const std::int64_t generation = scene.snapshot->metadata.generation;
  crd::SnapshotStatus status;
  status.observed_generation = generation;
  status.phase = PhaseOf(report);
  if (scene.manifest) FillFromFiles(report, status);
  status.used_by = scene.users;
  const auto add = [&](std::string_view type, bool yes, const Why& why) {
    status.conditions.push_back({std::string(type),
                                 yes ? ConditionStatus::kTrue : ConditionStatus::kFalse, why.reason,
                                 why.message, generation, ""});
  };
  const Why why = NotReady(report, status.phase);
  const bool captured = scene.sight.committed;
  add(condition::kCaptured, captured, captured ? Why{"Captured", ""} : why);
  const bool ready = status.phase == SnapshotPhase::kReady && !scene.goal.gone;
  const bool not_supported = scene.source_trouble && scene.source_trouble->reason == "NotSupported";
  const bool stalled =
      !scene.goal.gone && (status.phase == SnapshotPhase::kFailed || (!captured && not_supported));
  if (stalled) {
    add(condition::kStalled, true, why);
  } else if (!ready) {
    add(condition::kReconciling, true, why);
  }
  add(condition::kReady, ready, ready ? Why{"Ready", ""} : why);
  return status;
}

}  // namespace forkplane::snapshot
